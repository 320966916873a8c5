package lab

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// Flavour is why a Debian kernel is in the lab.
type Flavour string

// The flavours of which the lab has one kernel each.
const (
	Plain    Flavour = "plain" // 6.1.0-50-amd64
	RealTime Flavour = "rt"    // 6.1.0-50-rt-amd64
	Cloud    Flavour = "cloud" // 6.1.0-50-cloud-amd64
	Plus     Flavour = "plus"  // 6.12.107+deb12-amd64: newer, and with a plus sign
	plainABI         = `6\.1\.0-\d+`
)

// flavourNames tells the kernels of a flavour by their names.
var flavourNames = map[Flavour]*regexp.Regexp{
	Plain:    regexp.MustCompile(`^` + plainABI + `-amd64$`),
	RealTime: regexp.MustCompile(`^` + plainABI + `-rt-amd64$`),
	Cloud:    regexp.MustCompile(`^` + plainABI + `-cloud-amd64$`),
	Plus:     regexp.MustCompile(`^6\.12\.\d+\+deb12-amd64$`),
}

// flavours is their order.
var flavours = []Flavour{Plain, RealTime, Cloud, Plus}

// choice is which kernel the lab has for each flavour. It is written once and then stays, so that a newer
// kernel in the archive does not change the lab between two runs.
type choice map[Flavour]string

// chooseKernels reads the choice, or makes it: the newest of each flavour that can be downloaded.
func chooseKernels(ctx context.Context, s *store) (choice, error) {
	path := filepath.Join(s.dir, "kernels.json")
	unlock, err := s.lock(ctx, "kernels.json")
	if err != nil {
		return nil, err
	}
	defer unlock()
	data, err := os.ReadFile(path)
	if err == nil {
		var c choice
		if err := json.Unmarshal(data, &c); err != nil || len(c) != len(flavours) {
			return nil, fault.Wrap(fmt.Errorf("%s is not a choice of kernels", path), "remove the file")
		}
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c, err := newestKernels(ctx)
	if err != nil {
		return nil, err
	}
	if data, err = json.MarshalIndent(c, "", "  "); err != nil {
		return nil, err
	}
	return c, renameio.WriteFile(path, append(data, '\n'), 0o644)
}

func newestKernels(ctx context.Context) (choice, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "apt-cache", Args: []string{"pkgnames", headersPackage("")}})
	if err != nil {
		return nil, fault.Wrap(err, aptAdvice)
	}
	c := choice{}
	for _, flavour := range flavours {
		var found []kernel.Version
		for name := range strings.FieldsSeq(string(out)) {
			abi := strings.TrimPrefix(name, headersPackage(""))
			if !flavourNames[flavour].MatchString(abi) {
				continue
			}
			k, err := kernel.Parse(abi)
			if err != nil {
				return nil, err
			}
			found = append(found, k)
		}
		slices.SortFunc(found, func(a, b kernel.Version) int { return b.Compare(a) })
		if c[flavour], err = firstAvailable(ctx, found); err != nil {
			return nil, fmt.Errorf("a kernel of flavour %s: %w", flavour, err)
		}
	}
	return c, nil
}

// firstAvailable is the first kernel of which both the headers and the image can be downloaded.
func firstAvailable(ctx context.Context, kernels []kernel.Version) (string, error) {
	for _, k := range kernels {
		need := []string{headersPackage(k.String()), imagePackage(k.String())}
		have, err := packageVersions(ctx, need)
		if err != nil {
			return "", err
		}
		if have[need[0]] != "" && have[need[1]] != "" {
			return k.String(), nil
		}
	}
	return "", fault.Wrap(errors.New("apt has none"), aptAdvice)
}

func headersPackage(abi string) string { return "linux-headers-" + abi }
func imagePackage(abi string) string   { return "linux-image-" + abi }

// debsDir holds downloaded packages while they are needed.
const debsDir = "debs"

// kernelRecipe changes when debianKernelLayer makes something else.
const kernelRecipe = "debian kernel layer 1"

// debianKernelLayer makes the layer of a Debian kernel: its headers as the packages have them, and the
// kernel image where a DTK has it.
func debianKernelLayer(ctx context.Context, s *store, abi string) (*layer, error) {
	dir, err := s.make(ctx, "kernel-"+abi, kernelRecipe+abi, func(ctx context.Context, dir string) error {
		debs, err := kernelPackages(ctx, dir, abi)
		if err != nil {
			return err
		}
		w, err := newLayerWriter(dir)
		if err != nil {
			return err
		}
		for _, deb := range debs {
			err := readPackage(ctx, deb, func(r io.Reader) error {
				return eachEntry(r, func(h *tar.Header, body io.Reader) error { return addKernelFile(w, abi, h, body) })
			})
			if err != nil {
				return err
			}
		}
		return errors.Join(w.close(), os.RemoveAll(filepath.Join(dir, debsDir)))
	})
	if err != nil {
		return nil, err
	}
	return openLayer(dir)
}

// kernelPackages downloads the packages that make up a kernel's layer, in an order in which headers are
// first: an image package brings dangling links for them.
func kernelPackages(ctx context.Context, dir, abi string) ([]string, error) {
	first, rest := filepath.Join(dir, debsDir, "headers"), filepath.Join(dir, debsDir, "rest")
	if err := errors.Join(os.MkdirAll(first, 0o755), os.MkdirAll(rest, 0o755)); err != nil {
		return nil, err
	}
	headers, err := downloadPackages(ctx, first, []string{headersPackage(abi)})
	if err != nil {
		return nil, err
	}
	depends, err := packageField(ctx, headers[0], "Depends")
	if err != nil {
		return nil, err
	}
	packages := []string{imagePackage(abi)}
	for dep := range strings.SplitSeq(depends, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(dep), " ")
		if strings.HasPrefix(name, "linux-kbuild-") || strings.HasPrefix(name, "linux-headers-") {
			packages = append(packages, name)
		}
	}
	files, err := downloadPackages(ctx, rest, packages)
	return append(headers, files...), err
}

// addKernelFile adds a package's file to a kernel's layer, or leaves it out: of the image package only what
// is needed to know and boot the kernel, of the headers everything but BTF data (which needs pahole).
func addKernelFile(w *layerWriter, abi string, h *tar.Header, body io.Reader) error {
	name := strings.TrimPrefix(h.Name, "./")
	modules := "lib/modules/" + abi + "/"
	file, inModules := strings.CutPrefix(name, modules)
	switch {
	case name == "boot/vmlinuz-"+abi:
		h.Name, h.Mode = "usr/"+modules+"vmlinuz", 0o644
	case inModules && (file == "build" || strings.HasPrefix(file, "modules.")):
		h.Name = "usr/" + name
	case strings.HasPrefix(name, "usr/src/") && !strings.HasSuffix(name, "/vmlinux"),
		strings.HasPrefix(name, "usr/lib/linux-kbuild-"):
	default:
		return nil
	}
	if err := w.parents(strings.TrimPrefix(strings.TrimSuffix(h.Name, "/"), "./")); err != nil {
		return err
	}
	return w.entry(*h, body)
}
