package action

import (
	"errors"
	"testing"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
)

func TestMirrorReport(t *testing.T) {
	r := &MirrorReport{Mirror: "m", OtherArch: 1, Images: []MirrorImage{{Tag: "4.20.1"}, {Tag: "4.20.2"}, {Tag: "4.20.3"}, {Tag: "4.20.4"}}}
	r.Fill([]registry.Copy{
		{State: registry.CopyThere, Digest: "sha256:1", Size: 9},
		{State: registry.CopyMade, Digest: "sha256:2", Size: 2048, Sent: 2048},
		{State: registry.CopyFailed, Err: fault.Wrap(errors.New("it is gone"), "look elsewhere")},
		{State: registry.CopySkipped, Err: errors.New("interrupted")},
	})
	if r.Complete() {
		t.Error("it is said to be complete")
	}
	r.Images = r.Images[:2]
	if !r.Complete() {
		t.Error("it is said not to be complete")
	}
	r.Images[0].State, r.Due = registry.CopyDue, 3<<30
	if got, want := r.Summary(), "2 images: 1 copied, 1 due; 3.0 GiB to send; 1 catalogue entry of another architecture left out"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}
