package lab

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/google/rpmpack"

	"neuron-kmod/internal/version"
)

//go:embed testdata/driver
var driverTemplates embed.FS

const driverRoot = "testdata/driver"

// madeAt is the time stamp on everything the lab makes, so that the same recipe gives the same bytes.
var madeAt = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Files are a driver's source: slash-separated paths within usr/src/aws-neuronx-VERSION, and contents.
type Files map[string][]byte

// generation is what the templates ask of a driver version: the forms of the real driver's source that the
// patch rules are about came and went with these.
type generation struct {
	Version string
	Commit  string
	// TestsKernelOnly: the const signatures depend on the kernel's version alone, as before 2.18.12.0.
	TestsKernelOnly bool
	// PlacesMappings: the device has a get_unmapped_area operation, as from 2.28.0.0 on.
	PlacesMappings bool
}

// DriverSource returns the source of the lab's driver in the form that the real driver of that version has:
// it compiles for a Debian kernel as it is, and for a RHEL kernel only after the patch rules that are due.
func DriverSource(v version.Driver) (Files, error) {
	constSignatures, err := version.ParseDriver("2.18.12.0")
	if err != nil {
		return nil, err
	}
	placement, err := version.ParseDriver("2.28.0.0")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(v.String()))
	gen := generation{
		Version:         v.String(),
		Commit:          hex.EncodeToString(sum[:20]),
		TestsKernelOnly: v.Compare(constSignatures) < 0,
		PlacesMappings:  v.Compare(placement) >= 0,
	}
	files := Files{}
	err = fs.WalkDir(driverTemplates, driverRoot, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[strings.TrimPrefix(name, driverRoot+"/")], err = render(name, gen)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("driver source %s: %w", v, err)
	}
	return files, nil
}

// render fills one template. The delimiters make an untouched template readable as C.
func render(name string, gen generation) ([]byte, error) {
	text, err := driverTemplates.ReadFile(name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(path.Base(name)).Delims("/*{", "}*/").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, gen); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// RPMSpec says what a driver RPM is to be.
type RPMSpec struct {
	Version    version.Driver
	Compressor string      // "gzip" (also if empty), "xz" or "zstd"
	Edit       func(Files) // changes the source before it is packed; for drivers that are broken on purpose
}

// RPMName is the name under which the real repository serves a driver.
func RPMName(v version.Driver) string { return "aws-neuronx-dkms-" + v.String() + ".noarch.rpm" }

// DriverRPM packs the driver as the real package has it: usr/src/aws-neuronx-VERSION/. The same spec gives
// the same bytes.
func DriverRPM(spec RPMSpec) ([]byte, error) {
	files, err := DriverSource(spec.Version)
	if err != nil {
		return nil, err
	}
	if spec.Edit != nil {
		spec.Edit(files)
	}
	rpm, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name:        "aws-neuronx-dkms",
		Version:     spec.Version.String(),
		Release:     "dkms",
		Arch:        "noarch",
		OS:          "linux",
		Summary:     "Neuron lab driver in DKMS form",
		Description: "A small character device that stands in for the Neuron driver.",
		Licence:     "GPL-2.0",
		Compressor:  spec.Compressor,
		BuildHost:   "lab",
		BuildTime:   madeAt,
	})
	if err != nil {
		return nil, fmt.Errorf("driver RPM %s: %w", spec.Version, err)
	}
	root := "/usr/src/aws-neuronx-" + spec.Version.String()
	for _, dir := range directories(files) {
		rpm.AddFile(rpmpack.RPMFile{
			Name: path.Join(root, dir), Mode: 0o40755, Owner: "root", Group: "root", MTime: uint32(madeAt.Unix()),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		rpm.AddFile(rpmpack.RPMFile{
			Name: path.Join(root, name), Body: files[name], Mode: 0o644,
			Owner: "root", Group: "root", MTime: uint32(madeAt.Unix()),
		})
	}
	var out bytes.Buffer
	if err := rpm.Write(&out); err != nil {
		return nil, fmt.Errorf("driver RPM %s: %w", spec.Version, err)
	}
	return out.Bytes(), nil
}

// directories lists the directories of a source tree, the tree's own (".") first.
func directories(files Files) []string {
	dirs := map[string]bool{".": true}
	for name := range files {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}
