// Package lab makes on one machine everything the real job needs, without an account and with no more internet than a
// Debian mirror: stand-ins for Driver Toolkit (DTK) images with real kernels' headers and a real compiler, a driver RPM
// of our own, a base image, registries with TLS and passwords, and a server for the driver downloads, and a docker
// daemon for tests of that engine. `make demo`, the end-to-end tests and the benchmarks live on it.
//
// With Options.Cloud there are AWS, GitHub and Quay as well (packages fakeaws, fakegithub and fakeauth), and an
// internet in which they have their real names.
//
// What takes long to make is kept in one directory (.lab) under a name that holds a hash of its recipe, so it is made
// once and made again only when the recipe changes. Things appear there by rename, under a lock: interrupting the lab
// at any moment, or running it twice at once, does no harm.
//
// The lab may know the product's words (versions, kernels); no package of the product may import it.
package lab
