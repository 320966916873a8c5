// Package e2e holds the end-to-end tests: the real program, real podman, real
// registries with TLS and passwords, real kernels' headers and a real compiler.
// They need the build tag e2e and a lab (`make test` makes it).
package e2e
