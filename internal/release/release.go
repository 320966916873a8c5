// Package release holds what the GitHub release of a driver consists of: its name, its notes (R7.1) and the archives
// of source that the GPL asks for (R7.2).
//
// It knows nothing of GitHub and decides nothing about publishing. Notes are a function of a plan. Archives are files
// whose bytes follow from what is in them: no clock, no user and no order of a directory gets in, so that a release is
// uploaded again only where something has changed. Only BusyBox touches the network.
package release

import (
	"io"
	"os"

	"neuron-kmod/internal/version"
)

// ContentType is what every Archive is.
const ContentType = "application/gzip"

// Archive is a file to attach to a release.
type Archive struct {
	Name   string // of the attachment
	Path   string // where the file is
	Size   int64  // in bytes
	Digest string // "sha256:" and 64 hexadecimal digits
}

// Open opens the file; the caller closes it.
func (a Archive) Open() (io.ReadCloser, error) { return os.Open(a.Path) }

// Name returns the name of a driver's release, which is its tag as well. The labels of images point to it.
func Name(v version.Driver) string { return "neuron-driver-" + v.String() }

// BusyBoxFile returns the name of the archive of a BusyBox version.
func BusyBoxFile(version string) string { return busyBoxDir(version) + ".tar.gz" }

// ModifiedSourceFile returns the name of the archive of a driver's source as it was compiled.
func ModifiedSourceFile(v version.Driver) string { return modifiedSourceDir(v) + ".tar.gz" }

// The directories are the one thing at the top of each archive.
func busyBoxDir(version string) string { return "busybox-" + version }
func modifiedSourceDir(v version.Driver) string {
	return "aws-neuronx-dkms-" + v.String() + "-modified-source"
}
