package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrNeedsEngine says that an image cannot be made by [Assemble] and needs a container engine.
var ErrNeedsEngine = errors.New("needs a container engine")

// Assemble makes the image of the built-in Containerfile in this process, without an engine and without rights: the
// base, a layer for each directory that the Containerfile copies, and the labels of the Spec. A Containerfile that is
// not the built-in one, or a base where an engine would do something else than add files, is [ErrNeedsEngine].
//
// The layers of the base are read once to know its links and directories. Our layers hold sorted entries, owned by
// root, dated Created; the kind of the image, OCI or Docker, is the base's. Labels with an empty value are left out.
func Assemble(ctx context.Context, spec Spec) (v1.Image, error) {
	if !IsBuiltIn(spec.Containerfile) {
		return nil, fmt.Errorf("a Containerfile of one's own %w", ErrNeedsEngine)
	}
	instructions, err := parseContainerfile(spec.Containerfile)
	if err != nil {
		return nil, err
	}
	created := spec.Created.UTC().Truncate(time.Second)
	if created.Unix() < 0 || spec.Created.IsZero() {
		return nil, fmt.Errorf("creation time %s is before 1970", spec.Created)
	}
	if err := checkLabels(spec.Labels); err != nil {
		return nil, err
	}
	base, err := readBase(ctx, spec.Base)
	if err != nil {
		return nil, err
	}
	files, err := openContext(ctx, spec.Context)
	if err != nil {
		return nil, err
	}
	defer files.root.Close()
	cfg := ownConfig(base.config, created)
	var layers []*layer
	for _, in := range instructions {
		switch in.name {
		case "LABEL": // spec.Labels has the values; where it has none, the base's is not true of this image
			for _, word := range in.words() {
				name, _, _ := strings.Cut(word, "=")
				delete(cfg.Config.Labels, name)
			}
			record(cfg, in, created, true)
		case "COPY":
			l, err := copyDir(in, base, files, created)
			if err != nil {
				return nil, err
			}
			layers = append(layers, l)
			record(cfg, in, created, false)
		}
	}
	maps.Copy(cfg.Config.Labels, spec.Labels)
	dropEmpty(cfg.Config.Labels)
	img, err := build(spec.Base.Image, layers, cfg, base.family)
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", spec.Base.Name, err)
	}
	return img, nil
}

// baseContent is what Assemble has to know of a base: its configuration, its kind and its files, to which it adds ours.
type baseContent struct {
	config *v1.ConfigFile
	family family
	files  *rootfs
}

func readBase(ctx context.Context, b Base) (*baseContent, error) {
	name := "base image " + b.Name
	cfg, err := checkPlatform(name, b.Image)
	if err != nil {
		return nil, err
	}
	if len(cfg.Config.OnBuild) > 0 {
		return nil, fmt.Errorf("%s has ONBUILD instructions: it %w", name, ErrNeedsEngine)
	}
	fam, err := familyOf(b.Image)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	files, err := readRootfs(ctx, b.Image)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return &baseContent{config: cfg, family: fam, files: files}, nil
}

// copyDir makes the layer of COPY DIR/ /DIR/: what is in a directory of the context, and the directories above it that
// the base does not have.
func copyDir(in instruction, base *baseContent, context *contextDir, created time.Time) (*layer, error) {
	from, to, _ := strings.Cut(in.rest, " ")
	from = strings.Trim(from, "/")
	target, err := base.files.tree.resolve(strings.Trim(to, "/ "), true)
	if err != nil {
		return nil, in.errorf("%w", err)
	}
	dir := context.tree.get(from)
	if !dir.isDir() {
		return nil, in.errorf("%s/ is not in the context", from)
	}
	added := map[string]entry{}
	if err := addDirs(base.files.tree, added, target); err != nil {
		return nil, in.errorf("%w", err)
	}
	context.tree.walk(from, dir, func(p string, n *node) {
		if err == nil {
			err = addFile(base.files.tree, added, p, n, path.Join(target, strings.TrimPrefix(p, from+"/")))
		}
	})
	if err != nil {
		return nil, in.errorf("%w", err)
	}
	return newLayer(added, created, base.family.layer, context.open)
}

// addFile adds one file, directory or link of the context, as at. What an engine would do where a directory meets a
// file or a link is left to an engine.
func addFile(fs *tree, added map[string]entry, from string, n *node, at string) error {
	if old := fs.get(at); old != nil && (old.kind != n.kind || old.isLink()) {
		return fmt.Errorf("/%s is something else in the base image: this %w", at, ErrNeedsEngine)
	}
	e := entry{kind: n.kind, mode: n.mode, link: n.link}
	if n.isRegular() {
		e.source, e.size = from, n.size
	}
	added[at] = e
	return fs.put(at,
		&node{kind: n.kind, mode: n.mode, size: n.size, link: n.link, layer: -1, entry: -1, children: emptyDir(n)})
}

func emptyDir(n *node) map[string]*node {
	if n.isDir() {
		return map[string]*node{}
	}
	return nil
}

// addDirs adds directory p and those above it where they are not there.
func addDirs(fs *tree, added map[string]entry, p string) error {
	if p == "" || fs.get(p).isDir() {
		return nil
	}
	if fs.get(p) != nil {
		return fmt.Errorf("/%s is not a directory in the base image: this %w", p, ErrNeedsEngine)
	}
	if err := addDirs(fs, added, parent(p)); err != nil {
		return err
	}
	added[p] = entry{kind: tar.TypeDir, mode: 0o755}
	return fs.put(p, newDir(0o755))
}

// ownConfig is the base's configuration without what describes the base's own making: its author, its builder, the
// container it was committed from.
func ownConfig(base *v1.ConfigFile, created time.Time) *v1.ConfigFile {
	base = base.DeepCopy()
	cfg := &v1.ConfigFile{
		Architecture: base.Architecture,
		OS:           base.OS,
		Created:      v1.Time{Time: created},
		History:      base.History,
		RootFS:       base.RootFS,
		Config:       base.Config,
	}
	cfg.Config.Image, cfg.Config.Hostname, cfg.Config.Domainname = "", "", ""
	if cfg.Config.Labels == nil {
		cfg.Config.Labels = map[string]string{}
	}
	return cfg
}

// record adds the instruction to the image's history; the history names one instruction for each layer, and marks those
// that made none.
func record(cfg *v1.ConfigFile, in instruction, created time.Time, noLayer bool) {
	cfg.History = append(cfg.History, v1.History{
		Created:    v1.Time{Time: created},
		CreatedBy:  in.text,
		Comment:    "neuron-kmod",
		EmptyLayer: noLayer,
	})
}

// dropEmpty takes away labels that say nothing.
func dropEmpty(labels map[string]string) {
	maps.DeleteFunc(labels, func(_, v string) bool { return v == "" })
}

func checkLabels(labels map[string]string) error {
	for k, v := range labels {
		if k == "" {
			return errors.New("a label has no name")
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("label %s: %w", k, err)
		}
	}
	return nil
}
