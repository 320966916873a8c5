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
	output string // the directory that is the context of the image
}

// compile makes the module of one build in the toolkit. It returns nil, the outcome and no error when another run has
// published the image in the meantime.
func (s *schedule) compile(
	ctx context.Context, b plan.Build, toolkit string, makeJobs int,
) (*compiled, plan.Outcome, error) {
	if !s.run.Options.Force {
		if p, found, err := s.run.Target.Stat(ctx, b.Tag); err == nil && found {
			return nil, plan.Outcome{State: plan.Published, Digest: p.Digest, Size: p.Size}, nil
		}
	}
	task := s.run.Progress.Start("compile", b.Tag, b.Kernel.String())
	m, err := s.compileModule(ctx, b, toolkit, makeJobs)
	task.Done(err)
	return m, plan.Outcome{}, err
}

func (s *schedule) compileModule(
	ctx context.Context, b plan.Build, toolkit string, makeJobs int,
) (_ *compiled, err error) {
	dir, err := s.run.Workspace.Mkdir(b.Tag)
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
		s.run.Log.Debug("patch rule applied", "driver", b.Driver, "kernel", b.Kernel, "rule", a.Rule, "file", a.File,
			"matches", a.Count)
	}
	digest, err := driver.SourceDigest(source, s.run.Recipe.Script)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(output, 0o755); err != nil {
		return nil, fmt.Errorf("make the output directory: %w", err)
	}
	log, logPath, err := s.openLog(b.Tag)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	built, err := module.Build(ctx, s.run.Engine, module.Compile{
		Driver: b.Driver, Kernel: b.Kernel, Toolkit: toolkit, Script: s.run.Recipe.Script,
		Source: source, Output: output, Jobs: makeJobs, Timeout: s.run.Options.Timeout, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("%w\nthe whole log: %s", err, logPath)
	}
	return &compiled{dir: dir, source: digest, output: built.Dir}, nil
}

// openLog makes the file that keeps the output of the compile. It replaces the log of an earlier run.
func (s *schedule) openLog(tag string) (*os.File, string, error) {
	if err := os.MkdirAll(s.run.Options.LogDir, 0o755); err != nil {
		return nil, "", fmt.Errorf("make the directory for compile logs: %w", err)
	}
	path := filepath.Join(s.run.Options.LogDir, tag+".log")
	f, err := os.Create(path)
	if err != nil {
		return nil, "", fmt.Errorf("keep the compile log: %w", err)
	}
	return f, path, nil
}

// publish makes the image of a compiled module and publishes it.
func (s *schedule) publish(ctx context.Context, b plan.Build, m *compiled) (plan.Outcome, error) {
	task := s.run.Progress.Start("publish", b.Tag, b.Kernel.String())
	done, err := s.publishModule(ctx, b, m)
	task.Done(err)
	return done, err
}

func (s *schedule) publishModule(ctx context.Context, b plan.Build, m *compiled) (plan.Outcome, error) {
	defer s.removeAll(m.dir)
	img, err := s.assemble(ctx, b, m)
	if err != nil {
		return plan.Outcome{}, fmt.Errorf("make the image: %w", err)
	}
	if err := image.Verify(ctx, img, b.Driver, b.Kernel); err != nil {
		return plan.Outcome{}, fmt.Errorf("check the image: %w", err)
	}
	p, err := s.run.Target.Publish(ctx, b.Tag, img, s.run.Options.Force)
	var mismatch *registry.MismatchError
	switch {
	case err == nil:
		return plan.Outcome{State: plan.Built, Digest: p.Digest, Size: p.Size}, nil
	case errors.Is(err, registry.ErrExists):
		return plan.Outcome{State: plan.Published, Digest: p.Digest, Size: p.Size}, nil
	case errors.As(err, &mismatch):
		return s.acceptConcurrentPush(ctx, b, err)
	}
	return plan.Outcome{}, fmt.Errorf("publish %s: %w", b.Image, err)
}

// acceptConcurrentPush settles a tag that another run has pushed between our push and our read-back: a valid image for
// the same driver and kernel is as good as ours; anything else is a failure.
func (s *schedule) acceptConcurrentPush(ctx context.Context, b plan.Build, mismatch error) (plan.Outcome, error) {
	img, err := s.run.Target.Image(ctx, b.Tag)
	if err == nil {
		err = image.Verify(ctx, img, b.Driver, b.Kernel)
	}
	if err != nil {
		return plan.Outcome{}, fmt.Errorf("publish %s: %w", b.Image, errors.Join(mismatch, err))
	}
	p, found, err := s.run.Target.Stat(ctx, b.Tag)
	if err != nil || !found {
		return plan.Outcome{}, fmt.Errorf("publish %s: %w", b.Image, errors.Join(mismatch, err))
	}
	s.run.Log.Warn("another run published the same image at the same time", "image", b.Image, "digest", p.Digest)
	return plan.Outcome{State: plan.Published, Digest: p.Digest, Size: p.Size}, nil
}

// assemble makes the image from the Containerfile, in-process where it can be.
func (s *schedule) assemble(ctx context.Context, b plan.Build, m *compiled) (v1.Image, error) {
	if err := s.run.Recipe.CopyLicenses(filepath.Join(m.output, "licenses")); err != nil {
		return nil, err
	}
	in := image.LabelInput{
		Driver: b.Driver, Kernel: b.Kernel, Repository: s.run.Options.SourceURL, Source: m.source,
		BusyBox: s.run.Recipe.BusyBox, Base: s.run.Recipe.Base, Created: s.run.Options.Created,
	}
	spec := image.Spec{
		Base: s.run.Recipe.Base, Containerfile: s.run.Recipe.Containerfile, Context: m.output,
		Args: image.Args(in), Labels: image.Labels(in), Created: s.run.Options.Created,
	}
	if s.run.Options.Builder == ByEngine {
		return image.EngineBuild(ctx, s.run.Engine, spec, m.dir)
	}
	img, err := image.Assemble(ctx, spec)
	if s.run.Options.Builder == Auto && errors.Is(err, image.ErrNeedsEngine) {
		return image.EngineBuild(ctx, s.run.Engine, spec, m.dir)
	}
	return img, err
}

func (s *schedule) removeAll(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		s.run.Log.Warn("cannot remove a temporary folder; the next run tries again", "folder", dir, "error", err)
	}
}
