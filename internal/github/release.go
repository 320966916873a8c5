package github

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"neuron-kmod/internal/platform/fault"
)

// MaxNotes is how many characters GitHub accepts as the notes of a release.
const MaxNotes = 125_000

// Release is what a release is to be.
type Release struct {
	Tag  string // "neuron-driver-2.24.7.0"; where git does not have it yet, GitHub puts it on the default branch
	Name string // the title
	Body string // the notes, in Markdown
	// Assets are those that have to be there. Others, which people have added, stay.
	Assets []Asset
	// Latest makes a new release the one that the repository's page shows as the latest. A release that is there keeps
	// what it has.
	Latest bool
}

// Asset is a file of a release.
type Asset struct {
	Name        string // letters, digits, "-", "_" and "."; GitHub would replace anything else
	ContentType string // "application/gzip"
	Size        int64  // bytes; GitHub takes no empty files
	Digest      string // "sha256:" and 64 hexadecimal digits
	// Open returns the content from its start. It may be called several times, and closed while it is being read.
	Open func() (io.ReadCloser, error)
}

// What a Change does.
type What string

// The kinds of changes.
const (
	Create  What = "create"   // the release
	Add     What = "add"      // an asset
	Replace What = "replace"  // an asset
	Edit    What = "edit"     // the title and the notes
	Restore What = "restore"  // an asset's name, after an interrupted run
	Remove  What = "clean up" // what an interrupted run has left
)

// Change is one difference between what is on GitHub and what is to be.
type Change struct {
	What What
	Name string // of an asset; else the tag
}

// String says it as the end of "to do: ...".
func (c Change) String() string { return string(c.What) + " " + c.Name }

// Outcome is what has changed, or would.
type Outcome struct {
	URL     string // of the release's page; empty if there is none yet
	Changes []Change
}

var (
	assetName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)
	sha256Sum = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// check refuses what GitHub would not take, or would change.
func (r Release) check() error {
	if r.Tag == "" || strings.ContainsAny(r.Tag, " ~^:?*[\\") {
		return fmt.Errorf("%q cannot be a tag", r.Tag)
	}
	if n := utf8.RuneCountInString(r.Body); n > MaxNotes {
		return fault.Wrap(fmt.Errorf("the notes have %d characters; GitHub takes %d", n, MaxNotes),
			"fewer drivers or OpenShift releases in build-matrix.json make them shorter")
	}
	seen := map[string]bool{}
	for _, a := range r.Assets {
		if err := a.check(); err != nil {
			return fmt.Errorf("asset %q: %w", a.Name, err)
		}
		if seen[a.Name] {
			return fmt.Errorf("asset %q is there twice", a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}

func (a Asset) check() error {
	switch {
	case !assetName.MatchString(a.Name) || leftover.MatchString(a.Name):
		return errors.New("GitHub would not keep this name")
	case a.Size <= 0:
		return errors.New("it is empty")
	case !sha256Sum.MatchString(a.Digest):
		return fmt.Errorf("%q is not a digest", a.Digest)
	case a.ContentType == "" || a.Open == nil:
		return errors.New("it has no type, or no content")
	}
	return nil
}

// matches reports whether an asset on GitHub is whole and holds the same.
func (a Asset) matches(remote asset) bool {
	return remote.whole && remote.size == a.Size && remote.digest == a.Digest
}

// sameNotes compares two texts as a reader would: GitHub's pages change line endings, and white space at the end of
// lines and of the text does not show.
func sameNotes(a, b string) bool { return plainNotes(a) == plainNotes(b) }

func plainNotes(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}
