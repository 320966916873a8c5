package cli

import (
	"neuron-kmod/internal/kmm"
	"neuron-kmod/internal/version"
)

// manifests writes what a cluster is told to load the images of a repository with, for the page.
type manifests struct{ repository string }

func (m manifests) module(d version.Driver) (string, error) {
	return kmm.Module(kmm.ModuleInput{Place: kmm.DefaultPlace(), Repository: m.repository, Driver: d})
}

func (m manifests) deviceConfig(d version.Driver) (string, error) {
	return kmm.DeviceConfigPatch(m.repository, d)
}
