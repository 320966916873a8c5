package toolkit

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
)

// file is the entry of the metadata file.
func file(kernel string) entry { return entry{name: metadataPath, text: metadata(kernel)} }

// R4.1: the kernel is the one of the topmost layer that has the file, as a container would see it.
func TestKernelOfLayers(t *testing.T) {
	other := entry{name: "usr/bin/make", text: "#!"}
	tests := map[string]struct {
		layers [][]entry // from the bottom to the top
		want   string
		err    string
	}{
		"last layer":           {layers: [][]entry{{other}, {file(rhelKernel)}}, want: rhelKernel},
		"lower layer":          {layers: [][]entry{{file(rhelKernel)}, {other}}, want: rhelKernel},
		"top wins":             {layers: [][]entry{{file("5.14.0-1.el9_2.x86_64")}, {file(rhelKernel)}}, want: rhelKernel},
		"dot slash":            {layers: [][]entry{{{name: "./" + metadataPath, text: metadata(rhelKernel)}}}, want: rhelKernel},
		"slash":                {layers: [][]entry{{{name: "/" + metadataPath, text: metadata(rhelKernel)}}}, want: rhelKernel},
		"debian":               {layers: [][]entry{{file("6.12.107+deb12-amd64")}}, want: "6.12.107+deb12-amd64"},
		"stream":               {layers: [][]entry{{file("5.14.0-691.el9.x86_64")}}, want: "5.14.0-691.el9.x86_64"},
		"el10":                 {layers: [][]entry{{file("6.12.0-124.8.1.el10_1.x86_64")}}, want: "6.12.0-124.8.1.el10_1.x86_64"},
		"real-time":            {layers: [][]entry{{file("5.14.0-570.96.1.el9_6.x86_64+rt")}}, want: "5.14.0-570.96.1.el9_6.x86_64+rt"},
		"no architecture":      {layers: [][]entry{{file("4.18.0-305.19.1.el8_4")}}, want: "4.18.0-305.19.1.el8_4.x86_64"},
		"absent":               {layers: [][]entry{{other}, {other}}, err: ErrAbsent.Error()},
		"no layers":            {err: ErrAbsent.Error()},
		"whiteout above":       {layers: [][]entry{{file(rhelKernel)}, {{name: "etc/.wh.driver-toolkit-release.json"}}}, err: ErrAbsent.Error()},
		"whiteout of etc":      {layers: [][]entry{{file(rhelKernel)}, {{name: "./.wh.etc"}}}, err: ErrAbsent.Error()},
		"opaque etc":           {layers: [][]entry{{file(rhelKernel)}, {{name: "etc/.wh..wh..opq"}, other}}, err: ErrAbsent.Error()},
		"opaque root":          {layers: [][]entry{{file(rhelKernel)}, {{name: ".wh..wh..opq"}}}, err: ErrAbsent.Error()},
		"whiteout of another":  {layers: [][]entry{{file(rhelKernel)}, {{name: "etc/.wh.driver-toolkit-release.json.rpmnew"}, {name: "usr/.wh..wh..opq"}, {name: "etc/.wh."}, {name: ".wh."}}}, want: rhelKernel},
		"opaque, then anew":    {layers: [][]entry{{file("5.14.0-1.el9_2.x86_64")}, {{name: "etc/.wh..wh..opq"}, file(rhelKernel)}}, want: rhelKernel},
		"whiteout below":       {layers: [][]entry{{{name: "etc/.wh.driver-toolkit-release.json"}}, {file(rhelKernel)}}, want: rhelKernel},
		"symbolic link":        {layers: [][]entry{{{name: metadataPath, typ: tar.TypeSymlink, link: "/etc/shadow"}}}, err: "is a symbolic link, not a file"},
		"hard link":            {layers: [][]entry{{{name: metadataPath, typ: tar.TypeLink, link: "etc/shadow"}}}, err: "is a hard link, not a file"},
		"device":               {layers: [][]entry{{{name: metadataPath, typ: tar.TypeChar}}}, err: "is a device, not a file"},
		"directory":            {layers: [][]entry{{{name: metadataPath + "/", typ: tar.TypeDir}}}, err: "is a directory, not a file"},
		"etc is a link":        {layers: [][]entry{{file(rhelKernel)}, {{name: "etc", typ: tar.TypeSymlink, link: "usr/etc"}}}, err: "is a symbolic link in this layer, not a directory"},
		"a gigabyte":           {layers: [][]entry{{{name: metadataPath, size: 1 << 30}}}, err: "has 1073741824 bytes"},
		"claims more":          {layers: [][]entry{{{name: metadataPath, text: "{", size: 60000}}}, err: "unexpected EOF"},
		"truncated JSON":       {layers: [][]entry{{{name: metadataPath, text: `{"KERNEL_VERSION": "5.14`}}}, err: "truncated JSON"},
		"text after the JSON":  {layers: [][]entry{{{name: metadataPath, text: metadata(rhelKernel) + "{}"}}}, err: "text after the JSON object, at byte"},
		"a list":               {layers: [][]entry{{{name: metadataPath, text: "[]"}}}, err: "not a JSON object"},
		"number":               {layers: [][]entry{{{name: metadataPath, text: `{"KERNEL_VERSION": 5.14}`}}}, err: "not a string"},
		"empty kernel":         {layers: [][]entry{{file("")}}, err: "is empty"},
		"empty":                {layers: [][]entry{{{name: metadataPath}}}, err: "truncated JSON"},
		"no kernel":            {layers: [][]entry{{{name: metadataPath, text: `{"RHEL_VERSION": "9.6"}`}}}, err: "no KERNEL_VERSION"},
		"escaping kernel":      {layers: [][]entry{{file("../../5.14")}}, err: "is not a kernel version"},
		"path in the kernel":   {layers: [][]entry{{file("5.14.0/../../etc")}}, err: "is not a kernel version"},
		"shell in the kernel":  {layers: [][]entry{{file("5.14.0-1.el9_6.x86_64;reboot")}}, err: "is not a kernel version"},
		"newline in it":        {layers: [][]entry{{file("5.14.0-1\nel9_6.x86_64")}}, err: "is not a kernel version"},
		"terminal codes":       {layers: [][]entry{{file("5.14.0-\x1b[31mx")}}, err: "is not a kernel version"},
		"very long kernel":     {layers: [][]entry{{file("5.14." + strings.Repeat("1", 200))}}, err: "is not a kernel version"},
		"placeholder":          {layers: [][]entry{{file("${KERNEL_VERSION}")}}, err: "is not a kernel version"},
		"broken tar on top":    {layers: [][]entry{{file(rhelKernel)}, {{name: "usr/x", size: 4000}}}, err: "tar: unexpected EOF"},
		"file before the harm": {layers: [][]entry{{file(rhelKernel), {name: "usr/x", size: 4000}}}, want: rhelKernel},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			var layers []v1.Descriptor
			for _, entries := range tt.layers {
				layers = append(layers, s.layer(t, gzipped(t, tarOf(t, entries...), gzip.BestSpeed)))
			}
			k, err := newReader(t, nil).Kernel(t.Context(), s.toolkit(t, "amd64", layers...))
			wantKernel(t, k.String(), err, tt.want, tt.err)
		})
	}
}

func wantKernel(t *testing.T, got string, err error, want, wantErr string) {
	t.Helper()
	if wantErr == "" && (err != nil || got != want) {
		t.Errorf("kernel = %q, %v; want %q", got, err, want)
	}
	if wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
		t.Errorf("kernel = %q, %v; want an error with %q", got, err, wantErr)
	}
	if wantErr == ErrAbsent.Error() && !errors.Is(err, ErrAbsent) {
		t.Errorf("error %v is not ErrAbsent", err)
	}
}

// R4.1: layers are read in every compression, whatever their media type says.
func TestKernelOfCompressions(t *testing.T) {
	plain := tarOf(t, file(rhelKernel))
	for name, data := range map[string][]byte{
		"none": plain,
		"gzip": gzipped(t, plain, gzip.BestCompression),
		"zstd": zstded(t, plain),
		"gzip in two streams": append(gzipped(t, plain[:700], gzip.BestSpeed),
			gzipped(t, plain[700:], gzip.BestSpeed)...),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			k, err := newReader(t, nil).Kernel(t.Context(), s.toolkit(t, "amd64", s.layer(t, data)))
			wantKernel(t, k.String(), err, rhelKernel, "")
		})
	}
}

// R4.1: of an image for several architectures the one for x86_64 counts.
func TestKernelOfIndex(t *testing.T) {
	s := newStore(t)
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for arch, kernel := range map[string]string{"arm64": "5.14.0-1.el9_6.aarch64", "amd64": rhelKernel} {
		dtk := s.toolkit(t, arch, s.layer(t, tarOf(t, file(kernel))))
		_, digest, _ := strings.Cut(dtk, "@")
		h, err := v1.NewHash(digest)
		if err != nil {
			t.Fatal(err)
		}
		index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: h, Size: 1, Platform: &v1.Platform{OS: "linux", Architecture: arch}})
	}
	k, err := newReader(t, nil).Kernel(t.Context(), s.put(t, index, types.OCIImageIndex))
	wantKernel(t, k.String(), err, rhelKernel, "")

	index.Manifests = index.Manifests[:0]
	_, err = newReader(t, nil).Kernel(t.Context(), s.put(t, index, types.OCIImageIndex))
	wantKernel(t, "", err, "", "linux/amd64")
}

// R4.1: a name without its architecture gets the image's, and only where that is known.
func TestKernelArchitecture(t *testing.T) {
	tests := map[string]struct{ arch, want, err string }{
		"arm":     {arch: "arm64", want: "4.18.0-305.el8_4.aarch64"},
		"power":   {arch: "ppc64le", want: "4.18.0-305.el8_4.ppc64le"},
		"unknown": {arch: "sparc", err: `the image's is "sparc"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			dtk := s.toolkit(t, tt.arch, s.layer(t, tarOf(t, file("4.18.0-305.el8_4"))))
			k, err := newReader(t, nil).Kernel(t.Context(), dtk)
			wantKernel(t, k.String(), err, tt.want, tt.err)
		})
	}
}

// R4.1, R8.1: a toolkit that is gone says so, and the others are not lost with it.
func TestKernelsKeepGoing(t *testing.T) {
	s := newStore(t)
	good := s.toolkit(t, "amd64", s.layer(t, tarOf(t, file(rhelKernel))))
	gone := s.Host + "/openshift/dtk@sha256:" + strings.Repeat("0", 64)
	got := newReader(t, nil).Kernels(t.Context(), []string{gone, good, "quay.io/x:tag", good}, 2)
	if len(got) != 3 {
		t.Errorf("%d results, want 3", len(got))
	}
	wantKernel(t, got[good].Kernel.String(), got[good].Err, rhelKernel, "")
	wantKernel(t, "", got["quay.io/x:tag"].Err, "", "quay.io/x:tag")
	if err := got[gone].Err; !registry.Is404(err) || !strings.Contains(err.Error(), gone) || !strings.Contains(fault.Of(err), "update the catalogue") {
		t.Errorf("error %v, hint %q", err, fault.Of(err))
	}
}

// R8.1: a registry that is busy, in trouble or hangs up is asked again, and the transfer goes on where it was.
func TestKernelDespiteFaults(t *testing.T) {
	faults := map[string]registrytest.Fault{
		"429 for the manifest": {Path: "/manifests/", Status: http.StatusTooManyRequests, RetryAfter: "0", Times: 2},
		"500 for the manifest": {Path: "/manifests/", Status: http.StatusInternalServerError, Times: 2},
		"503 for the ping":     {Path: "/v2/", Status: http.StatusServiceUnavailable, Times: 1},
		"429 for a layer":      {Path: "/blobs/", Status: http.StatusTooManyRequests, Times: 2},
		"500 for a layer":      {Path: "/blobs/", Status: http.StatusInternalServerError, Times: 2},
		"reset in a layer":     {Path: "/blobs/", After: 70_000, Times: 3},
		"reset at once":        {Path: "/blobs/", After: 0, Times: 2},
	}
	large := gzipped(t, tarOf(t, entry{name: "boot/x", text: noise(900 << 10)}, file(rhelKernel), entry{name: "usr/x", text: noise(1 << 20)}), gzip.NoCompression)
	for name, fault := range faults {
		for _, opts := range [][]registrytest.Option{nil, {registrytest.NoRange()}} {
			t.Run(fmt.Sprintf("%s, no ranges %v", name, opts != nil), func(t *testing.T) {
				s := newStore(t, opts...)
				dtk := s.toolkit(t, "amd64", s.layer(t, large))
				s.Break(fault)
				k, err := newReader(t, nil).Kernel(t.Context(), dtk)
				wantKernel(t, k.String(), err, rhelKernel, "")
			})
		}
	}
}

// noise returns text that a layer can be large with.
func noise(n int) string { return strings.Repeat("0123456789abcdef", n/16) }

// R8.1: trouble that does not end is an error, and soon.
func TestKernelGivesUp(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"500":        {Path: "/blobs/", Status: http.StatusInternalServerError},
		"an hour":    {Path: "/blobs/", Status: http.StatusTooManyRequests, RetryAfter: "3600"},
		"resets":     {Path: "/blobs/", After: 0},
		"no content": {Path: "/blobs/", Status: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			dtk := s.toolkit(t, "amd64", s.layer(t, gzipped(t, tarOf(t, file(rhelKernel)), gzip.BestSpeed)))
			s.Break(fault)
			if k, err := newReader(t, nil).Kernel(t.Context(), dtk); err == nil {
				t.Errorf("kernel = %v, want an error", k)
			}
		})
	}
}

// R8: a layer that is not what its digest says is not believed.
func TestKernelOfForgedLayer(t *testing.T) {
	s := newStore(t)
	layer := s.layer(t, tarOf(t, file(rhelKernel)))
	s.blobs.m[layer.Digest] = content{[][]byte{tarOf(t, file("5.14.0-666.1.1.el9_6.x86_64"))}}
	_, err := newReader(t, nil).Kernel(t.Context(), s.toolkit(t, "amd64", layer))
	wantKernel(t, "", err, "", "has other content")
}

// What is remembered is known without asking; whether an image exists is asked.
func TestKnownAndExists(t *testing.T) {
	s := newStore(t)
	dtk := s.kernelToolkit(t, rhelKernel)
	r := newReader(t, NewCache(t.TempDir()))
	if k, ok := r.Known(dtk); ok {
		t.Errorf("%s is known of an image that nobody has read", k)
	}
	if _, err := r.Kernel(t.Context(), dtk); err != nil {
		t.Fatal(err)
	}
	s.Forget()
	if k, ok := r.Known(dtk); !ok || k.String() != rhelKernel || len(s.Requests()) != 0 {
		t.Errorf("known: %q, %t, with requests %q", k, ok, s.Requests())
	}
	if err := r.Exists(t.Context(), dtk); err != nil || len(s.Requests("manifests")) != 1 {
		t.Errorf("error %v with requests %q", err, s.Requests())
	}
	if err := r.Exists(t.Context(), s.Host+"/openshift/dtk@sha256:"+strings.Repeat("a", 64)); !registry.Is404(err) {
		t.Errorf("error %v for an image that is not there", err)
	}
	r.Locate = func(_ context.Context, dtk string) (string, error) {
		return s.Host + "/copies/dtk@" + digestOf(dtk), nil
	}
	if err := r.Exists(t.Context(), dtk); !registry.Is404(err) || len(s.Requests("/copies/dtk/manifests")) != 1 {
		t.Errorf("error %v of a copy that is not there, with requests %q", err, s.Requests())
	}
}

// R8: claims of a manifest are not followed without end.
func TestKernelOfHostileManifest(t *testing.T) {
	s := newStore(t)
	layer := s.layer(t, tarOf(t, file(rhelKernel)))
	for name, tt := range map[string]struct {
		size int64
		err  string
	}{
		"huge":     {1 << 50, "layer 1 of 1125899906842624 bytes"},
		"negative": {-1, "layer 1 of -1 bytes"},
		"longer":   {layer.Size + 1, "range end"},
		"shorter":  {layer.Size - 1, "has other content"},
	} {
		t.Run(name, func(t *testing.T) {
			d := layer
			d.Size = tt.size
			_, err := newReader(t, nil).Kernel(t.Context(), s.toolkit(t, "amd64", d))
			wantKernel(t, "", err, "", tt.err)
		})
	}
}

// R8.2: a reader that is told to stop does so.
func TestKernelCancelled(t *testing.T) {
	s := newStore(t)
	dtk := s.toolkit(t, "amd64", s.layer(t, tarOf(t, file(rhelKernel))))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range newReader(t, nil).Kernels(ctx, []string{dtk}, 1) {
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("error %v, want %v", r.Err, context.Canceled)
		}
	}
}
