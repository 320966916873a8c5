package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/fault"
)

// Assemble makes the image in this process, without an engine and without
// rights. It carries out FROM, ARG, LABEL, ENV, COPY, USER, WORKDIR, ENTRYPOINT
// and CMD the way `podman build` does; for a Containerfile with anything else,
// more than one stage, or a context with an ignore file, the error is
// [ErrNeedsEngine]. Every error of the Containerfile begins with its name and line.
//
// The layers of the base are read once to know its links and directories. Our
// layers hold sorted entries, owned by root, dated Created; the kind of the
// image, OCI or Docker, is the base's. Labels with an empty value are left out.
func Assemble(ctx context.Context, spec Spec) (v1.Image, error) {
	cf, err := parseContainerfile(spec.Name, spec.Containerfile)
	if err != nil {
		return nil, err
	}
	if err := cf.checkNative(); err != nil {
		return nil, err
	}
	if err := checkLabels(spec.Labels); err != nil {
		return nil, err
	}
	a, err := newAssembly(ctx, spec, cf)
	if err != nil {
		return nil, err
	}
	defer a.context.root.Close()
	for _, in := range cf.instructions {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := a.run(in); err != nil {
			return nil, err
		}
	}
	return a.finish(cf.name)
}

// assembly is the state of one Assemble.
type assembly struct {
	spec    Spec
	created time.Time
	family  family
	scope   *scope
	context *contextDir
	fs      *rootfs // the image as far as it is built
	cfg     *v1.ConfigFile
	layers  []*layer
	begun   bool // FROM was there
	cmd     bool // CMD was there
}

func newAssembly(ctx context.Context, spec Spec, cf *containerfile) (*assembly, error) {
	created := spec.Created.UTC().Truncate(time.Second)
	if created.Unix() < 0 || spec.Created.IsZero() {
		return nil, fmt.Errorf("creation time %s is before 1970", spec.Created)
	}
	name := "base image " + spec.Base.Name
	cfg, err := checkPlatform(name, spec.Base.Image)
	if err != nil {
		return nil, err
	}
	fam, err := familyOf(spec.Base.Image)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	rootfs, err := readRootfs(ctx, spec.Base.Image)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	files, err := openContext(ctx, spec.Context)
	if err != nil {
		return nil, err
	}
	a := &assembly{
		spec: spec, created: created, family: fam, cfg: ownConfig(cfg, created),
		scope: newScope(cf.escape, spec.Args), context: files, fs: rootfs,
	}
	if f := files.ignoreFile(); f != "" {
		files.root.Close()
		return nil, &NeedsEngineError{File: path.Join(spec.Context, f), Reason: "the context has an ignore file"}
	}
	return a, nil
}

// ownConfig is the base's configuration without what tells about the base's own
// making: its author, its builder, the container it was committed from.
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

func (a *assembly) run(in instruction) error {
	if !a.begun && in.name != "FROM" && in.name != "ARG" {
		return in.errorf("only ARG may stand before FROM")
	}
	switch in.name {
	case "FROM":
		return a.from(in)
	case "ARG":
		return a.scope.declare(in)
	case "COPY":
		return a.copy(in)
	case "WORKDIR":
		return a.workdir(in)
	}
	if err := a.configure(in); err != nil {
		return err
	}
	a.record(in, true)
	return nil
}

// from checks that the Containerfile and the caller mean the same base.
func (a *assembly) from(in instruction) error {
	ref, _, err := a.scope.from(in)
	if err != nil {
		return err
	}
	if ref != a.spec.Base.Name {
		return wrongBase(in.errorf("the base image is %s, but %s was resolved", ref, a.spec.Base.Name))
	}
	if len(a.cfg.Config.OnBuild) > 0 {
		return in.needsEngine("%s has ONBUILD instructions", ref)
	}
	a.scope.begin(a.cfg.Config.Env)
	a.begun = true
	return nil
}

func wrongBase(err error) error {
	return fault.Wrap(err, "let FROM take the base image from ARG "+ArgBase+", or name the same image in both places")
}

// configure carries out the instructions that change the configuration only.
func (a *assembly) configure(in instruction) (err error) {
	cfg := &a.cfg.Config
	switch in.name {
	case "LABEL", "ENV":
		pairs, err := a.scope.pairs(in)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if in.name == "LABEL" {
				cfg.Labels[p.name] = p.value
			} else {
				a.scope.setEnv(p)
			}
		}
		cfg.Env = a.scope.env
	case "USER":
		cfg.User, err = a.one(in)
	case "ENTRYPOINT":
		cfg.Entrypoint, err = command(in)
		if !a.cmd {
			cfg.Cmd = nil // the base's CMD was for the base's ENTRYPOINT
		}
	case "CMD":
		cfg.Cmd, err = command(in)
		a.cmd = true
	}
	return err
}

// one is the value of an instruction that takes exactly one.
func (a *assembly) one(in instruction) (string, error) {
	if len(in.words) != 1 {
		return "", in.errorf("wants one value")
	}
	v, err := a.scope.expand(in, in.words[0])
	if err == nil && v == "" {
		err = in.errorf("its value comes out empty")
	}
	return v, err
}

// command reads ENTRYPOINT and CMD: a JSON array as it is, anything else for a shell.
func command(in instruction) ([]string, error) {
	switch {
	case in.json:
		return slices.Clone(in.words), nil
	case len(in.words) != 1 || strings.TrimSpace(in.words[0]) == "":
		return nil, in.errorf("wants a command")
	}
	return []string{"/bin/sh", "-c", in.words[0]}, nil
}

// workdir sets the working directory, and makes it where it is not there.
func (a *assembly) workdir(in instruction) error {
	dir, err := a.one(in)
	if err != nil {
		return err
	}
	a.cfg.Config.WorkingDir = path.Join("/", a.cfg.Config.WorkingDir, dir)
	if path.IsAbs(dir) {
		a.cfg.Config.WorkingDir = path.Clean(dir)
	}
	dir, err = a.fs.resolve(strings.TrimPrefix(a.cfg.Config.WorkingDir, "/"), true)
	if err != nil {
		return in.errorf("%w", err)
	}
	c := &copying{assembly: a, in: in, entries: map[string]entry{}}
	if err := c.makeDir(dir); err != nil {
		return err
	}
	return c.commit()
}

// record adds the instruction to the image's history; the history names one
// instruction for each layer, and marks those that made none.
func (a *assembly) record(in instruction, noLayer bool) {
	a.cfg.History = append(a.cfg.History, v1.History{
		Created:    v1.Time{Time: a.created},
		CreatedBy:  in.text,
		Comment:    "neuron-kmod",
		EmptyLayer: noLayer,
	})
}

func (a *assembly) finish(file string) (v1.Image, error) {
	if !a.begun {
		return nil, fmt.Errorf("%s: has no FROM", file)
	}
	maps.Copy(a.cfg.Config.Labels, a.spec.Labels)
	dropEmpty(a.cfg.Config.Labels)
	img, err := build(a.spec.Base.Image, a.layers, a.cfg, a.family)
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", a.spec.Base.Name, err)
	}
	return img, nil
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
