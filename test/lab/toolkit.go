package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/kernel"
)

// Toolkit says what a DTK stand-in is to be. Equal toolkits have equal digests.
type Toolkit struct {
	Kernel   string // one of Lab.Kernels: whose headers are inside
	Release  string // the OpenShift release in the image's labels: gives images of one kernel digests of their own
	Says     string // KERNEL_VERSION in the release file, if not Kernel
	NoFile   bool   // there is no release file
	Squashed bool   // one layer, the release file near its front
}

// releaseFilePath is where a DTK says which kernel it is for.
const releaseFilePath = "etc/driver-toolkit-release.json"

// releaseFile is its content, in the form and order of the real one.
func (t Toolkit) releaseFile() ([]byte, error) {
	says := t.Says
	if says == "" {
		says = t.Kernel
	}
	rhel := ""
	if v, err := kernel.Parse(t.Kernel); err == nil {
		if r, ok := v.RHEL(); ok {
			rhel = fmt.Sprintf("%d.%d", r.Major, r.Minor)
		}
	}
	return json.Marshal(struct {
		Kernel   string `json:"KERNEL_VERSION"`
		RealTime string `json:"RT_KERNEL_VERSION"`
		RHEL     string `json:"RHEL_VERSION"`
	}{says, strings.TrimSuffix(says, "+rt") + "+rt", rhel})
}

// Toolkit makes a DTK stand-in: a toolchain layer that all share, the kernel's layer, and the release file's last; or
// all of it squashed into one. A squashed one takes seconds the first time.
func (l *Lab) Toolkit(ctx context.Context, t Toolkit) (v1.Image, error) {
	headers, ok := l.kernels[t.Kernel]
	if !ok {
		return nil, fmt.Errorf("the lab has no kernel %q; it has %s", t.Kernel, strings.Join(l.Kernels(), ", "))
	}
	layers := []v1.Layer{l.toolchain, headers}
	if t.Squashed {
		squashed, err := l.squash(ctx, t, headers)
		if err != nil {
			return nil, err
		}
		layers = []v1.Layer{squashed}
	} else if !t.NoFile {
		data, err := t.releaseFile()
		if err != nil {
			return nil, err
		}
		metadata, err := fileLayer(releaseFilePath, data)
		if err != nil {
			return nil, err
		}
		layers = append(layers, metadata)
	}
	return makeImage(layers, v1.Config{
		Cmd: []string{"/bin/bash"},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels: map[string]string{
			"io.openshift.release":          t.Release,
			"io.openshift.release.operator": "false",
			"io.k8s.description": "driver-toolkit is a container with the kernel packages necessary for building " +
				"driver containers",
			"name":                           "openshift/driver-toolkit",
			"io.openshift.build.commit.ref":  "lab",
			"kernel-version":                 "",
			"org.opencontainers.image.title": "driver-toolkit stand-in",
		},
	})
}

// makeImage is a linux/amd64 OCI image of the given layers.
func makeImage(layers []v1.Layer, config v1.Config) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Created: v1.Time{Time: madeAt}, Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		if img, err = mutate.Append(img, mutate.Addendum{
			Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: madeAt}, CreatedBy: "lab"},
		}); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// squashRecipe changes when squash makes something else.
const squashRecipe = "squashed layer 1"

// squash makes one layer of a toolkit's layers, with the release file among the other files of etc/.
func (l *Lab) squash(ctx context.Context, t Toolkit, headers *layer) (*layer, error) {
	data, err := t.releaseFile()
	if err != nil {
		return nil, err
	}
	recipe := fmt.Sprint(squashRecipe, l.toolchain.meta.Digest, headers.meta.Digest, t.NoFile, string(data))
	dir, err := l.store.make(ctx, "squashed-"+t.Kernel, recipe, func(ctx context.Context, dir string) error {
		w, err := newLayerWriter(dir)
		if err != nil {
			return err
		}
		copyEntry := func(h *tar.Header, body io.Reader) error {
			if !t.NoFile && h.Name > releaseFilePath {
				if err := w.write(releaseFilePath, 0o644, data); err != nil {
					return err
				}
			}
			return errors.Join(ctx.Err(), w.entry(*h, body))
		}
		return errors.Join(eachLayerEntry(l.toolchain, copyEntry), eachLayerEntry(headers, copyEntry), w.close())
	})
	if err != nil {
		return nil, err
	}
	return openLayer(dir)
}

// memoryLayer is a small layer with what write puts into it.
func memoryLayer(write func(*tar.Writer) error) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := errors.Join(write(w), w.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// fileLayer is a layer that holds one file.
func fileLayer(name string, data []byte) (v1.Layer, error) {
	return memoryLayer(func(w *tar.Writer) error {
		h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: madeAt}
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	})
}
