package image

import (
	"context"
	"fmt"
	"path"
	"strings"

	"neuron-kmod/internal/platform/fault"
)

// KMM runs "/bin/sh -c" with mkdir and cp in the image to hand the module to its worker, so an image without them loads
// nothing: https://github.com/kubernetes-sigs/kernel-module-management/blob/main/internal/pod/workerpodmanager.go
const shell = "bin/sh"

var shellTools = []string{"mkdir", "cp"}

// defaultPath is where an engine looks for programs when the image sets no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// BaseInfo is what [CheckBase] found out about a base image.
type BaseInfo struct {
	// BusyBox is the version the BusyBox binary states, "1.36.1"; "" if the image has none.
	BusyBox string
	// Warnings are sentences for the log: things that are not as the requirements expect them but stop nothing.
	Warnings []string
}

// CheckBase reads all layers of the base and checks that KMM can use an image built on it: linux/amd64, with sh, mkdir
// and cp (R5.3, R10.1). It sees the files as a container would see them, with links and whiteouts applied.
func CheckBase(ctx context.Context, b Base) (BaseInfo, error) {
	cfg, err := checkPlatform("base image "+b.Name, b.Image)
	if err != nil {
		return BaseInfo{}, err
	}
	fs, err := readRootfs(ctx, b.Image)
	if err != nil {
		return BaseInfo{}, fmt.Errorf("reading base image %s: %w", b.Name, err)
	}
	found, err := fs.kmmTools(cfg.Config.Env)
	if err != nil {
		return BaseInfo{}, fault.Wrap(fmt.Errorf("base image %s: %w", b.Name, err),
			"take a base image that has /bin/sh, mkdir and cp, such as public.ecr.aws/docker/library/busybox:stable-musl")
	}
	var info BaseInfo
	if info.BusyBox, err = fs.busyBox(ctx, found); err != nil {
		return BaseInfo{}, fmt.Errorf("looking for BusyBox in base image %s: %w", b.Name, err)
	}
	if info.BusyBox != "" && info.BusyBox != ExpectedBusyBox {
		info.Warnings = append(info.Warnings, fmt.Sprintf(
			"base image %s holds BusyBox %s, not %s: labels name %s, and the release has to ship the source of %s",
			b.Name, info.BusyBox, ExpectedBusyBox, info.BusyBox, info.BusyBox))
	}
	return info, nil
}

// kmmTools returns the programs behind sh, mkdir and cp, or an error that names all that are missing.
func (fs *rootfs) kmmTools(env []string) ([]*node, error) {
	var found []*node
	var missing []string
	if n := fs.program(shell); n != nil {
		found = append(found, n)
	} else {
		missing = append(missing, "/"+shell)
	}
	for _, tool := range shellTools {
		if n := fs.inPath(tool, env); n != nil {
			found = append(found, n)
		} else {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("KMM cannot copy the module out of it: it has no %s", strings.Join(missing, ", no "))
	}
	return found, nil
}

// program is the executable file at p, links followed; nil if there is none.
func (fs *rootfs) program(p string) *node {
	n, err := fs.tree.find(p)
	if err != nil || !n.isRegular() || n.mode&0o111 == 0 {
		return nil // a link that goes in circles is no program either
	}
	return n
}

func (fs *rootfs) inPath(tool string, env []string) *node {
	search := defaultPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	for _, dir := range strings.Split(search, ":") {
		if !path.IsAbs(dir) {
			continue
		}
		p, err := cleanPath(path.Join(dir, tool))
		if err != nil {
			continue
		}
		if n := fs.program(p); n != nil {
			return n
		}
	}
	return nil
}
