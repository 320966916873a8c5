package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/module"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
)

// compiled is a module on its way into an image.
type compiled struct {
	dir    string // removed once the image is published
	source string // driver.SourceDigest of what was compiled
	*module.Built
}

// compile makes the module of one build in the toolkit. It returns nil and no
// error when another run has published the image in the meantime.
func (s *schedule) compile(ctx context.Context, b *plan.Build, toolkit string, makeJobs int) (*compiled, error) {
	if !s.Force {
		if p, found, err := s.Target.Published(ctx, b.Tag); err == nil && found {
			b.State, b.Digest, b.Size = plan.Published, p.Digest, p.Size
			return nil, nil
		}
	}
	task := s.Progress.Start("compile", b.Tag, b.Kernel.String())
	m, err := s.compileModule(ctx, b, toolkit, makeJobs)
	task.Done(err)
	return m, err
}

func (s *schedule) compileModule(ctx context.Context, b *plan.Build, toolkit string, makeJobs int) (_ *compiled, err error) {
	dir, err := s.Workspace.Mkdir(b.Tag)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.removeAll(dir)
		}
	}()
	source, output := filepath.Join(dir, "source"), filepath.Join(dir, "context")
	applied, err := s.sources[b.Driver].Prepare(b.Kernel, source)
	if err != nil {
		return nil, fmt.Errorf("patch the source: %w", err)
	}
	for _, a := range applied {
		s.Log.Debug("patch rule applied", "driver", b.Driver, "kernel", b.Kernel, "rule", a.Rule, "file", a.File, "matches", a.Count)
	}
	digest, err := driver.SourceDigest(source, s.Recipe.Script)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(output, 0o755); err != nil {
		return nil, fmt.Errorf("make the output folder: %w", err)
	}
	log, logPath, err := s.openLog(b.Tag)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	built, err := module.Build(ctx, s.Engine, module.Compile{
		Driver: b.Driver, Kernel: b.Kernel, Toolkit: toolkit, Script: s.Recipe.Script,
		Source: source, Output: output, Jobs: makeJobs, Timeout: s.Timeout, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("%w\nthe whole log: %s", err, logPath)
	}
	return &compiled{dir, digest, built}, nil
}

// openLog makes the file that keeps the output of the compile. It replaces the
// log of an earlier run.
func (s *schedule) openLog(tag string) (*os.File, string, error) {
	if err := os.MkdirAll(s.LogDir, 0o755); err != nil {
		return nil, "", fmt.Errorf("make the folder for compile logs: %w", err)
	}
	path := filepath.Join(s.LogDir, tag+".log")
	f, err := os.Create(path)
	if err != nil {
		return nil, "", fmt.Errorf("keep the compile log: %w", err)
	}
	return f, path, nil
}

// publish makes the image of a compiled module and publishes it.
func (s *schedule) publish(ctx context.Context, b *plan.Build, m *compiled) error {
	task := s.Progress.Start("publish", b.Tag, b.Kernel.String())
	err := s.publishModule(ctx, b, m)
	task.Done(err)
	return err
}

func (s *schedule) publishModule(ctx context.Context, b *plan.Build, m *compiled) error {
	defer s.removeAll(m.dir)
	img, err := s.assemble(ctx, b, m)
	if err != nil {
		return fmt.Errorf("make the image: %w", err)
	}
	if err := image.Verify(ctx, img, b.Driver, b.Kernel); err != nil {
		return fmt.Errorf("check the image: %w", err)
	}
	p, err := s.Target.Publish(ctx, b.Tag, img, s.Force)
	var mismatch *registry.MismatchError
	switch {
	case err == nil:
		b.State, b.Digest, b.Size = plan.Built, p.Digest, p.Size
		return nil
	case errors.Is(err, registry.ErrExists):
		b.State, b.Digest, b.Size = plan.Published, p.Digest, p.Size
		return nil
	case errors.As(err, &mismatch):
		return s.acceptRival(ctx, b, err)
	}
	return fmt.Errorf("publish %s: %w", b.Image, err)
}

// acceptRival settles a tag that another run has pushed between our push and
// our read-back: a valid image for the same driver and kernel is as good as
// ours; anything else is a failure.
func (s *schedule) acceptRival(ctx context.Context, b *plan.Build, mismatch error) error {
	img, err := s.Target.Image(ctx, b.Tag)
	if err == nil {
		err = image.Verify(ctx, img, b.Driver, b.Kernel)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", b.Image, errors.Join(mismatch, err))
	}
	p, found, err := s.Target.Published(ctx, b.Tag)
	if err != nil || !found {
		return fmt.Errorf("publish %s: %w", b.Image, errors.Join(mismatch, err))
	}
	s.Log.Warn("another run published the same image at the same time", "image", b.Image, "digest", p.Digest)
	b.State, b.Digest, b.Size = plan.Published, p.Digest, p.Size
	return nil
}

// assemble makes the image from the Containerfile, in-process where it can be.
func (s *schedule) assemble(ctx context.Context, b *plan.Build, m *compiled) (v1.Image, error) {
	if err := s.Recipe.CopyLicenses(filepath.Join(m.Dir, "licenses")); err != nil {
		return nil, err
	}
	in := image.LabelInput{
		Driver: b.Driver, Kernel: b.Kernel, Repository: s.SourceURL, Source: m.source,
		BusyBox: s.Recipe.BusyBox, Base: s.Recipe.Base, Created: s.Created,
	}
	spec := image.Spec{
		Base: s.Recipe.Base, Containerfile: s.Recipe.Containerfile, Context: m.Dir,
		Args: image.Args(in), Labels: image.Labels(in), Created: s.Created,
	}
	if s.Builder == ByEngine {
		return image.EngineBuild(ctx, s.Engine, spec, m.dir)
	}
	img, err := image.Assemble(ctx, spec)
	if s.Builder == Auto && errors.Is(err, image.ErrNeedsEngine) {
		return image.EngineBuild(ctx, s.Engine, spec, m.dir)
	}
	return img, err
}

func (s *schedule) removeAll(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		s.Log.Warn("cannot remove a temporary folder; the next run tries again", "folder", dir, "error", err)
	}
}
