package report

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/rpm"
	"neuron-kmod/internal/version"
)

func driverResult(t *testing.T) *action.DriverResult {
	t.Helper()
	v, err := version.ParseDriver("2.24.7.0")
	if err != nil {
		t.Fatal(err)
	}
	rule := driver.Rules()[1] // class-show
	return &action.DriverResult{
		Package: driver.Package{Version: v, Path: "/cache/" + driver.FileName(v), Proof: rpm.Proof{
			Key:    rpm.Key{Fingerprint: "0123ABCD", UserID: "Some One <one@test.invalid>"},
			Signed: time.Date(2025, 12, 20, 1, 2, 3, 0, time.UTC), Digest: "sha256:4567",
		}},
		Made: time.Date(2025, 8, 12, 0, 0, 0, 0, time.UTC),
		Description: driver.Description{
			Files:   []driver.File{{Name: "Kbuild", Size: 100}, {Name: "neuron_pci.c", Size: 3000}},
			Devices: []driver.Device{{Name: "INF2", ID: 0x7264}, {Name: "TRN2", ID: 0x64}},
			Rules:   []driver.DueRule{{Rule: rule, Found: 2}, {Rule: rule, Found: 1}},
		},
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
          class-show in neuron_cdev.c for RHEL from 9.4 before 9.5; it does not fit: its text is there 1 time
`
	var got bytes.Buffer
	if err := Driver(&got, "text", r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
	got.Reset()
	r.Package.Proof.HeaderOnly, r.Made, r.Description = true, time.Time{}, driver.Description{}
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
	got.Reset()
	r := driverResult(t)
	r.Description = driver.Description{}
	if err := Driver(&got, "json", r); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(got.Bytes(), []byte("\"files\": [],\n  \"devices\": [],\n  \"rules\": []\n}\n")) {
		t.Errorf("a list is not there: %s", got.Bytes())
	}
}
