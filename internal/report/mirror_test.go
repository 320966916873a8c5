package report

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
)

func TestMirrorTable(t *testing.T) {
	r := &action.MirrorReport{Mirror: "m", OtherArch: 1, Images: []action.MirrorImage{{Tag: "4.20.1"}, {Tag: "4.20.2"}, {Tag: "4.20.3"}, {Tag: "4.20.4"}}}
	r.Fill([]registry.Copy{
		{State: registry.CopyThere, Digest: "sha256:1", Size: 9},
		{State: registry.CopyMade, Digest: "sha256:2", Size: 2048, Sent: 2048},
		{State: registry.CopyFailed, Err: fault.Wrap(errors.New("it is gone"), "look elsewhere")},
		{State: registry.CopySkipped, Err: errors.New("interrupted")},
	})
	var table bytes.Buffer
	if err := MirrorTable(&table, r); err != nil {
		t.Fatal(err)
	}
	want := `TAG     KERNEL  STATE    SENT     DIGEST
4.20.1  -       there    0 B      sha256:1
4.20.2  -       copied   2.0 KiB  sha256:2
4.20.3  -       failed   0 B      -
4.20.4  -       skipped  0 B      -

failed 4.20.3: it is gone (look elsewhere)

4 images: 1 there, 1 copied, 1 failed, 1 skipped; 2.0 KiB sent; 1 catalogue entry of another architecture left out
`
	if diff := cmp.Diff(want, table.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
