package cli

import (
	"neuron-kmod/internal/inventory"
	"neuron-kmod/internal/kmm"
)

// manifests writes what a cluster is told to load the images of a repository with, for the page. The page offers nothing
// where it is "".
type manifests struct{ repository string }

func (m manifests) module(i inventory.Image) string {
	text, err := kmm.Module(kmm.ModuleInput{Place: kmm.DefaultPlace(), Repository: m.repository, Driver: i.Driver})
	if err != nil {
		return ""
	}
	return text
}

func (m manifests) deviceConfig(i inventory.Image) string {
	text, err := kmm.DeviceConfigPatch(m.repository, i.Driver)
	if err != nil {
		return ""
	}
	return text
}
