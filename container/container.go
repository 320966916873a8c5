// Package container holds what makes and describes a kmod image: the script that
// compiles the module, the Containerfile and the licences. They are embedded, so
// that the program works wherever its one file is.
package container

import "embed"

// Files are the files of this directory: "build-module.sh", "Containerfile" and "licenses/...".
//
//go:embed build-module.sh Containerfile licenses
var Files embed.FS
