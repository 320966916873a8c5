package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode decodes the one JSON value that data has to consist of into a structure or map. It is for files that programs
// write: keys that into does not have are left alone. what names what the value has to be, as in "a JSON object". The
// error names no file.
func Decode(data []byte, into any, what string) error {
	d := json.NewDecoder(bytes.NewReader(data))
	err := d.Decode(into)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("truncated JSON")
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not valid JSON at byte %d: %w", e.Offset, err)
	}
	if err != nil {
		return errors.New("not " + what)
	}
	end := d.InputOffset()
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("text after the JSON object, at byte %d", end+1)
	}
	return nil
}
