package cli

import (
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/version"
)

// manifests writes what a cluster is told to load the images of a repository with, for the page.
type manifests struct{ repository string }

func (m manifests) module(d version.Driver) (string, error) {
	return manifest.Module(manifest.ModuleInput{Place: manifest.DefaultPlace(), Repository: m.repository, Driver: d})
}

func (m manifests) deviceConfig(d version.Driver) (string, error) {
	return manifest.DeviceConfigPatch(m.repository, d)
}
