package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/google/renameio/v2"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/jsonfile"
)

// File is a catalogue that is changed in its file. Unlike others it may have no entries: such a file does not exist
// yet.
type File struct {
	Catalog Catalog
	text    []byte // of the file when it was read; nil if there was none
}

// Open reads the catalogue at path to change it. A file that does not exist is an empty catalogue, its directory has to
// be there. Errors are those of Load.
func Open(path string) (*File, error) {
	text, err := jsonfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := filepath.EvalSymlinks(filepath.Dir(path)); err != nil {
			return nil, fault.Wrap(fmt.Errorf("the catalogue's directory: %w", err),
				"make the directory, or name another file with --catalog")
		}
		return &File{Catalog: Catalog{Path: path}}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseFile(path, text)
}

// OpenExisting is Open for a file that has to be there; one that is not is an error with advice.
func OpenExisting(path string) (*File, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	return parseFile(path, text)
}

func parseFile(path string, text []byte) (*File, error) {
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	return &File{Catalog: *c, text: text}, nil
}

// Differs reports whether Save would write.
func (f *File) Differs() (bool, error) {
	if len(f.Catalog.Entries) == 0 && f.text == nil {
		return false, nil
	}
	text, err := f.Catalog.Encode()
	return !bytes.Equal(text, f.text), err
}

// Save writes the catalogue to its file if the bytes differ, and reports whether it did. The file appears complete or
// not at all and keeps its mode; behind a symbolic link it is the file that changes. It is an error if someone else has
// changed the file since Open.
func (f *File) Save() (bool, error) {
	if differs, err := f.Differs(); err != nil || !differs {
		return false, err
	}
	text, err := f.Catalog.Encode()
	if err != nil {
		return false, err
	}
	now, err := jsonfile.ReadFile(f.Catalog.Path)
	if errors.Is(err, fs.ErrNotExist) {
		now, err = nil, nil
	}
	if err != nil {
		return false, err
	}
	if !bytes.Equal(now, f.text) {
		return false, fault.Wrap(fmt.Errorf("%s was changed by someone else meanwhile, and is left as it is",
			f.Catalog.Path), "run this again")
	}
	path := f.Catalog.Path
	if now != nil {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return false, fmt.Errorf("write the catalogue: %w", err)
		}
	}
	err = renameio.WriteFile(path, text, 0o644, renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return false, fmt.Errorf("write the catalogue: %w", err)
	}
	f.text = text
	return true, nil
}
