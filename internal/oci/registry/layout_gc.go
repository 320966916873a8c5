package registry

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/limit"
)

// maxJournal bounds the lock file that is read back: some 14,000 digests.
const maxJournal = 1 << 20

// writeJournal names in the lock file the blobs that are about to be written or may have to go. The lock is held.
func (l *layoutDir) writeJournal(blobs []v1.Hash) error {
	var text strings.Builder
	seen := map[v1.Hash]bool{}
	for _, h := range blobs {
		if !seen[h] {
			seen[h] = true
			fmt.Fprintln(&text, h)
		}
	}
	if text.Len() > maxJournal {
		return fmt.Errorf("%d blobs are too many for one run", len(seen))
	}
	// Written in place: a lock belongs to the file, a renamed one would be another.
	return os.WriteFile(filepath.Join(l.path, lockFile), []byte(text.String()), 0o644)
}

// readJournal returns the digests in the lock file. A line that is not one was cut off by a crash.
func (l *layoutDir) readJournal() ([]v1.Hash, error) {
	data, err := limit.ReadFile(filepath.Join(l.path, lockFile), maxJournal)
	if err != nil {
		return nil, err
	}
	var out []v1.Hash
	for line := range strings.Lines(string(data)) {
		if h, err := v1.NewHash(strings.TrimSpace(line)); err == nil {
			out = append(out, h)
		}
	}
	return out, nil
}

// gc removes those of the journaled blobs that no tag leads to, and temporary files, then clears the journal. It runs
// after each write, and before the next one for a run that was killed. The blobs of keep stay, and stay journaled. The
// lock is held.
//
// It is not layout.Path.GarbageCollect, which counts every blob as garbage that index.json does not lead to: also those
// that another tool has written for an image of which it has not written the index yet. That one fails as well on a
// temporary file, and on an entry of index.json whose manifest is not there or is of an unknown kind.
func (l *layoutDir) gc(keep []v1.Hash) error {
	journaled, err := l.readJournal()
	if err != nil || len(journaled) == 0 {
		return err
	}
	index, err := l.readIndex()
	if err != nil {
		return err
	}
	used := map[v1.Hash]bool{}
	for _, h := range keep {
		used[h] = true
	}
	for _, d := range index.Manifests {
		for _, h := range l.reachable(d) {
			used[h] = true
		}
	}
	for _, h := range journaled {
		if err := l.removeTemporary(filepath.Dir(l.blobPath(h)), h.Hex); err != nil {
			return err
		}
		if used[h] {
			continue
		}
		if err := removeIfThere(l.blobPath(h)); err != nil {
			return err
		}
	}
	for _, name := range []string{indexFile, "oci-layout"} {
		if err := l.removeTemporary(l.path, name); err != nil {
			return err
		}
	}
	return l.writeJournal(keep)
}

// reachable returns the digests that d leads to, d's own included. What cannot be read leads nowhere further: it is
// damaged already, and an image that shares blobs with it keeps them by its own manifest.
func (l *layoutDir) reachable(d v1.Descriptor) []v1.Hash {
	out := []v1.Hash{d.Digest}
	raw, err := l.readManifest(d.Digest)
	if err != nil {
		return out
	}
	if d.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return out
		}
		for _, child := range index.Manifests {
			if !child.MediaType.IsIndex() { // nothing nests them deeper
				out = append(out, l.reachable(child)...)
			}
		}
		return out
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return out
	}
	return append(out, blobDigests(m)...)
}

// removeTemporary removes what newFile left in dir for a file called name.
func (l *layoutDir) removeTemporary(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !isTemporary(e.Name(), name) {
			continue
		}
		if err := removeIfThere(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
