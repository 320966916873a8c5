// Package container holds what goes into and describes a kmod image: the
// Containerfile and the licences. They are embedded, so that the program works
// wherever its one file is.
package container

import "embed"

// Files are the files of this folder: "Containerfile" and "licenses/...".
//
//go:embed Containerfile licenses
var Files embed.FS
