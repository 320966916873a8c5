package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/jsonfile"
	"neuron-kmod/internal/version"
)

// The keys of an entry.
const (
	keyArch       = "arch"
	keyDTK        = "dtk"
	keyVersion    = "version"
	keyKernel     = "kernel"      // optional
	keyComponent  = "component"   // optional
	keyNodeKernel = "node-kernel" // optional
	keyOnly       = "only"        // optional
)

// architectures are those OpenShift is released for, under the names it gives them in release tags.
var architectures = []string{"x86_64", "aarch64", "ppc64le", "s390x"}

// maxRepository bounds what is before the digest, in bytes: what registries accept.
const maxRepository = 255

var (
	// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests, with a registry that is
	// told from a path by its dot or port, or is localhost.
	repositoryForm = regexp.MustCompile(`^(localhost|localhost:[0-9]{1,5}|` +
		`[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?|[A-Za-z0-9-]+:[0-9]{1,5})` +
		`(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+$`)
	digestForm    = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	tagForm       = regexp.MustCompile(`:[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	componentForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// Load reads the catalogue at path. An error of its contents is a *jsonfile.Error; one of the file system wraps that.
func Load(path string) (*Catalog, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// read returns the text of a catalogue that has to be there.
func read(path string) ([]byte, error) {
	data, err := jsonfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, "Make it with `neuron-kmod catalog update`, or name another file with --catalog.")
	}
	return data, err
}

// Parse reads a catalogue; name is the file's name in errors, each of which is a *jsonfile.Error. Entries stay in the
// file's order.
func Parse(name string, data []byte) (*Catalog, error) {
	root, err := jsonfile.Parse(name, data)
	if err != nil {
		return nil, err
	}
	values, err := root.List("Driver Toolkit images")
	if err != nil {
		return nil, err
	}
	c := &Catalog{Path: name}
	byName := map[string]Entry{}  // by release, architecture and component
	byImage := map[string]Entry{} // those whose kernel is known
	for _, v := range values {
		e, err := parseEntry(v)
		if err != nil {
			return nil, err
		}
		if first, ok := byName[e.name()]; ok {
			return nil, e.Pos.Errorf("%s is here twice, first in line %d: take one out", e.name(), first.Pos.Line)
		}
		byName[e.name()] = e
		if !e.Kernel.IsZero() {
			if first, ok := byImage[e.DTK]; ok && first.Kernel != e.Kernel {
				return nil, e.Pos.Errorf("the kernel is %s here and %s in line %d for one image: an image has one kernel, "+
					"take the wrong one out", e.Kernel, first.Kernel, first.Pos.Line)
			}
			byImage[e.DTK] = e
		}
		c.Entries = append(c.Entries, e)
	}
	return c, nil
}

func parseEntry(v jsonfile.Value) (Entry, error) {
	e := Entry{Pos: v.Pos}
	obj, err := v.Object(keyArch, keyDTK, keyVersion, keyKernel, keyComponent, keyNodeKernel, keyOnly)
	if err != nil {
		return e, err
	}
	if e.Arch, err = need(obj, keyArch, checked(CheckArch)); err != nil {
		return e, err
	}
	if e.DTK, err = need(obj, keyDTK, checked(CheckImage)); err != nil {
		return e, err
	}
	if e.Version, err = need(obj, keyVersion, version.ParseOCP); err != nil {
		return e, err
	}
	if e.Kernel, err = parseKernel(obj, keyKernel, e.Arch); err != nil {
		return e, err
	}
	if e.NodeKernel, err = parseKernel(obj, keyNodeKernel, e.Arch); err != nil {
		return e, err
	}
	if v, ok := obj.Lookup(keyComponent); ok {
		if e.Component, err = jsonfile.ParseText(v, checked(CheckComponent)); err != nil {
			return e, err
		}
		if e.Component == DefaultComponent {
			e.Component = ""
		}
	}
	if v, ok := obj.Lookup(keyOnly); ok {
		if e.SingleToolkit, err = v.Bool(); err != nil {
			return e, err
		}
	}
	return e, nil
}

// parseKernel reads the kernel of a key that need not be there.
func parseKernel(obj jsonfile.Object, key, arch string) (kernel.Version, error) {
	v, ok := obj.Lookup(key)
	if !ok {
		return kernel.Version{}, nil
	}
	k, err := jsonfile.ParseText(v, kernel.Parse)
	if err != nil {
		return kernel.Version{}, err
	}
	if err := CheckKernel(k, arch); err != nil {
		return kernel.Version{}, v.Pos.Errorf("%s: correct one of them", err)
	}
	return k, nil
}

// CheckKernel returns an error if a kernel is for another architecture than its entry.
func CheckKernel(k kernel.Version, arch string) error {
	if of := k.Arch(); of != "" && of != arch {
		return fmt.Errorf("the kernel %s is for %s and the entry for %s", k, of, arch)
	}
	return nil
}

// need returns what parse makes of the text of a key that has to be there.
func need[T any](obj jsonfile.Object, key string, parse func(string) (T, error)) (T, error) {
	v, err := obj.Get(key)
	if err != nil {
		var zero T
		return zero, err
	}
	return jsonfile.ParseText(v, parse)
}

// checked returns the parser of texts that mean what they are, if check has no error for them.
func checked(check func(string) error) func(string) (string, error) {
	return func(s string) (string, error) { return s, check(s) }
}

// CheckArch returns an error for what is no architecture of OpenShift, as it names them in release tags.
func CheckArch(s string) error {
	if !slices.Contains(architectures, s) {
		return fmt.Errorf("%s is not an architecture: write one of %s", quote(s), strings.Join(architectures, ", "))
	}
	return nil
}

// CheckImage returns an error for what cannot be the image of an entry, which is named by digest. A tag would not do:
// what it names changes, and then what is known of the image's kernel is wrong.
func CheckImage(s string) error {
	const want = "write REGISTRY/REPOSITORY@sha256:DIGEST, as `oc adm release info --image-for=driver-toolkit` prints it"
	repository, digest, ok := strings.Cut(s, "@")
	switch {
	case strings.Contains(s, "://"):
		return fmt.Errorf("%s starts with a scheme: %s", quote(s), want)
	case !ok:
		return fmt.Errorf("%s has no digest: %s", quote(s), want)
	case !digestForm.MatchString(digest):
		return fmt.Errorf("%s is not a digest, which is sha256: and 64 digits 0-9 a-f: %s", quote(digest), want)
	case len(repository) > maxRepository:
		return fmt.Errorf("the repository is longer than %d characters: %s", maxRepository, want)
	case repositoryForm.MatchString(repository):
		return nil
	case repositoryForm.MatchString(tagForm.ReplaceAllString(repository, "")):
		return errors.New("an image has a tag or a digest, not both: take out the tag")
	}
	return fmt.Errorf("%s is not a registry and a repository: %s", quote(repository), want)
}

// CheckComponent returns an error for what cannot be the component of an entry, which is a payload tag.
func CheckComponent(s string) error {
	if !componentForm.MatchString(s) {
		return fmt.Errorf("%s is not a component: write the name of a payload tag such as driver-toolkit-10, or leave "+
			"the key out", quote(s))
	}
	return nil
}

// quote makes a text of the file safe to print, and bounds it.
func quote(s string) string {
	const most = 160
	if len(s) > most {
		s = s[:most] + "..."
	}
	return fmt.Sprintf("%q", s)
}
