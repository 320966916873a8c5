package toolkit

import (
	"encoding/json"
	"errors"
	"fmt"

	"neuron-kmod/internal/platform/jsonfile"
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
	var fields map[string]json.RawMessage
	if err := jsonfile.Decode(data, &fields, "a JSON object"); err != nil {
		return "", err
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
