package toolkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	metadataPath = "etc/driver-toolkit-release.json"

	// maxMetadata bounds the file; real ones have 130 bytes.
	maxMetadata = 64 << 10
)

// parseMetadata returns KERNEL_VERSION of a driver-toolkit-release.json:
//
//	{ "KERNEL_VERSION": "5.14.0-570.96.1.el9_6.x86_64", "RT_KERNEL_VERSION": "...+rt", "RHEL_VERSION": "9.6" }
//
// Other keys are left alone: forks of the DTK write fewer or more, and on aarch64 RT_KERNEL_VERSION holds no version.
// The value is not validated here.
func parseMetadata(data []byte) (string, error) {
	if len(data) > maxMetadata {
		return "", fmt.Errorf("%d bytes, more than the %d that are read", len(data), maxMetadata)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	var fields map[string]json.RawMessage
	if err := d.Decode(&fields); err != nil {
		return "", jsonError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", fmt.Errorf("text after the JSON object, at byte %d", d.InputOffset()+1)
	}
	var release string
	raw, ok := fields["KERNEL_VERSION"]
	if !ok {
		return "", errors.New("no KERNEL_VERSION in it")
	}
	if err := json.Unmarshal(raw, &release); err != nil {
		return "", errors.New("KERNEL_VERSION is not a string")
	}
	if release == "" {
		return "", errors.New("KERNEL_VERSION is empty")
	}
	return release, nil
}

// jsonError says in a person's words what is wrong with JSON, and where.
func jsonError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("truncated JSON")
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not valid JSON at byte %d: %w", e.Offset, err)
	}
	return errors.New("not a JSON object")
}
