package report

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/version"
)

func driverResult(t *testing.T) *action.DriverResult {
	t.Helper()
	v, err := version.ParseDriver("2.24.7.0")
	if err != nil {
		t.Fatal(err)
	}
	rule := action.DriverRule{Name: "class-show", File: "neuron_cdev.c", From: "9.4", Before: "9.5", Found: 2, Fits: true}
	odd := action.DriverRule{Name: "odd", File: "neuron_mmap.h", Found: 1}
	return &action.DriverResult{
		Driver: v, Package: "aws-neuronx-dkms-2.24.7.0.noarch.rpm", Digest: "sha256:4567",
		Signer: action.DriverSigner{
			Fingerprint: "0123ABCD", UserID: "Some One <one@test.invalid>",
			Signed: time.Date(2025, 12, 20, 1, 2, 3, 0, time.UTC),
		},
		Built:   time.Date(2025, 8, 12, 0, 0, 0, 0, time.UTC),
		Files:   []action.DriverFile{{Name: "Kbuild", Size: 100}, {Name: "neuron_pci.c", Size: 3000}},
		Devices: []action.DriverDevice{{Name: "INF2", ID: "0x7264"}, {Name: "TRN2", ID: "0x0064"}},
		Rules:   []action.DriverRule{rule, odd},
	}
}

func TestDriverText(t *testing.T) {
	r := driverResult(t)
	const want = `aws-neuronx-dkms-2.24.7.0.noarch.rpm
  digest  sha256:4567
  signed  header and payload, 2025-12-20 by 0123ABCD (Some One <one@test.invalid>)
  built   2025-08-12
  files   2, 3.0 KiB
  devices 0x7264 INF2
          0x0064 TRN2
  rules   class-show in neuron_cdev.c for RHEL from 9.4 before 9.5
          odd in neuron_mmap.h for RHEL; it does not fit: its text is there 1 time
`
	var got bytes.Buffer
	if err := Driver(&got, "text", r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
	got.Reset()
	r.Signer.HeaderOnly, r.Built, r.Files, r.Devices, r.Rules = true, time.Time{}, nil, nil, nil
	if err := Driver(&got, "text", r); err != nil {
		t.Fatal(err)
	}
	const short = `aws-neuronx-dkms-2.24.7.0.noarch.rpm
  digest  sha256:4567
  signed  the header, which has the digests of all files, 2025-12-20 by 0123ABCD (Some One <one@test.invalid>)
  files   0, -
`
	if diff := cmp.Diff(short, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestDriverJSON(t *testing.T) {
	var got bytes.Buffer
	if err := Driver(&got, "json", driverResult(t)); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "driver": "2.24.7.0",
  "package": "aws-neuronx-dkms-2.24.7.0.noarch.rpm",
  "digest": "sha256:4567",
  "signer": {
    "fingerprint": "0123ABCD",
    "user_id": "Some One <one@test.invalid>",
    "signed": "2025-12-20T01:02:03Z",
    "header_only": false
  },
  "built": "2025-08-12T00:00:00Z",
  "files": [
    {
      "name": "Kbuild",
      "size": 100
    },
    {
      "name": "neuron_pci.c",
      "size": 3000
    }
  ],
  "devices": [
    {
      "name": "INF2",
      "id": "0x7264"
    },
    {
      "name": "TRN2",
      "id": "0x0064"
    }
  ],
  "rules": [
`
	if !bytes.HasPrefix(got.Bytes(), []byte(want)) {
		t.Error(cmp.Diff(want, got.String()))
	}
}
