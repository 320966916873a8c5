package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// Build builds an image with podman and writes it to spec.Out as an OCI archive; docker cannot, and the error says what
// to do. The engine's store is as it was before when Build returns, also after an error. The bases reach the build
// under names of our own, by which a killed build's working containers are known as ours; podman repeats such a name in
// the manifest's annotations, which therefore differ each time, while configuration and layers do not.
func (c *CLI) Build(ctx context.Context, spec BuildSpec) (err error) {
	if c.store.engineName() != "podman" {
		// It takes buildx for a base from the local store, and version 25 for an OCI archive: more than Debian's docker has.
		err := fmt.Errorf("build image: %s is used to compile, not to build images", c.store.engineName())
		return fault.Wrap(err, "use --engine podman, or a Containerfile of the built-in one's form")
	}
	if err := spec.validate(); err != nil {
		return fmt.Errorf("build image: %w", err)
	}
	temp, err := os.MkdirTemp(c.opts.TempDir, "build-")
	if err != nil {
		return fmt.Errorf("build image: make a directory: %w", err)
	}
	unmark, err := c.owner.markInUse()
	if err != nil {
		return fmt.Errorf("build image: %w", errors.Join(err, os.RemoveAll(temp)))
	}
	defer func() { err = errors.Join(err, unmark()) }()
	b := &imageBuild{cli: c, spec: spec, temp: temp, tag: c.localImage("image")}
	defer func() {
		err = errors.Join(err, b.cleanUp(context.WithoutCancel(ctx)), os.RemoveAll(temp))
		if err != nil {
			err = errors.Join(err, removeIfThere(spec.Out))
		}
	}()
	if err := b.loadBaseImages(ctx); err != nil {
		return fmt.Errorf("build image: %w", err)
	}
	if err := b.run(ctx); err != nil {
		return fmt.Errorf("build image: %w", err)
	}
	return nil
}

// imageBuild is one build and what it has put into the engine's store so far.
type imageBuild struct {
	cli     *CLI
	spec    BuildSpec
	temp    string
	tag     string            // of the image to be built
	aliases map[string]string // by the name that FROM has: the base's name in the store
	stored  []string          // names that may be in the store by now
	leases  []*Lease
}

// loadBaseImages gives each base a name of this build in the engine's store.
func (b *imageBuild) loadBaseImages(ctx context.Context) error {
	b.aliases = map[string]string{}
	for _, base := range sortedKeys(b.spec.Bases) {
		alias := b.cli.localImage("base")
		b.aliases[base] = alias
		b.stored = append(b.stored, alias)
		if img := b.spec.Bases[base]; img != nil {
			if err := b.cli.store.load(ctx, b.temp, alias, img); err != nil {
				return fmt.Errorf("base image %s: %w", base, err)
			}
			continue
		}
		lease, err := b.cli.Acquire(ctx, base, nil)
		if err != nil {
			return fmt.Errorf("base image: %w", err)
		}
		b.leases = append(b.leases, lease)
		if err := command.Run(ctx, b.cli.store.command("tag", base, alias)); err != nil {
			return fmt.Errorf("base image %s: %w", base, err)
		}
	}
	return nil
}

// loadGrace is how long a load may go on after its context has ended.
const loadGrace = time.Minute

// load puts img into the engine's store as alias. It uses the directory temp for a while. A load that has begun goes on
// when ctx ends, to its end, which is seconds for a base image, or for loadGrace: podman 4 that is killed between an
// image's record and its manifest leaves an image without name and manifest, and lists no images at all until somebody
// removes it (https://github.com/containers/storage/pull/1113).
func (s *store) load(ctx context.Context, temp, alias string, img v1.Image) error {
	tag, err := name.NewTag(alias)
	if err != nil {
		return err
	}
	archive := filepath.Join(temp, "base.tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		return fmt.Errorf("write %s: %w", archive, err)
	}
	if ctx.Err() == nil {
		longer, cancel := withGracePeriod(ctx, loadGrace)
		err = command.Run(longer, s.command("load", "--input="+archive))
		cancel()
	}
	return errors.Join(err, context.Cause(ctx), os.Remove(archive))
}

// withGracePeriod returns a context that ends a while after ctx, or with cancel, which has to be called.
func withGracePeriod(ctx context.Context, grace time.Duration) (_ context.Context, cancel func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			end(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		end(nil)
	}
}

// run builds the image and saves it.
func (b *imageBuild) run(ctx context.Context) error {
	args := []string{"build", "--file=" + b.spec.Containerfile, "--tag=" + b.tag}
	// Without layers and history the same input makes the same image, and nothing but the image is left in the store. The
	// history would also name the aliases.
	args = append(args,
		"--format=oci", "--layers=false", "--force-rm", "--pull=never", "--identity-label=false", "--omit-history")
	if b.spec.Timestamp != nil {
		args = append(args, "--timestamp="+strconv.FormatInt(b.spec.Timestamp.Unix(), 10))
	}
	for _, name := range sortedKeys(b.aliases) {
		args = append(args, "--build-context="+name+"=container-image://"+b.aliases[name])
	}
	if b.spec.Platform != "" {
		args = append(args, "--platform="+b.spec.Platform)
	}
	for _, key := range sortedKeys(b.spec.Args) {
		args = append(args, "--build-arg="+key+"="+b.spec.Args[key])
	}
	for _, key := range sortedKeys(b.spec.Labels) {
		args = append(args, "--label="+key+"="+b.spec.Labels[key])
	}
	cmd := b.cli.store.command(append(args, b.spec.Context)...)
	// What a killed build leaves beside the store goes with the run's own directory.
	cmd.Env = []string{"TMPDIR=" + b.temp}
	cmd.Stdout, cmd.Stderr = b.spec.Log, b.spec.Log
	b.stored = append(b.stored, b.tag)
	if err := command.Run(ctx, cmd); err != nil {
		return err
	}
	return command.Run(ctx, b.cli.store.command("save", "--format=oci-archive", "--output="+b.spec.Out, b.tag))
}

// cleanUp takes out of the store all that the build has put there. Podman leaves the working containers of a build that
// it is told to end.
func (b *imageBuild) cleanUp(ctx context.Context) error {
	var errs []error
	if len(b.aliases) > 0 {
		errs = append(errs, b.cli.removeContainersOf(ctx, b.stored))
	}
	for _, image := range b.stored {
		errs = append(errs, b.cli.store.removeImage(ctx, image))
	}
	for _, lease := range b.leases {
		errs = append(errs, lease.Release(ctx))
	}
	return errors.Join(errs...)
}

// removeContainersOf removes the containers whose image has one of the names.
func (c *CLI) removeContainersOf(ctx context.Context, images []string) error {
	ids, err := c.store.containers(ctx, func(image string) bool { return slices.Contains(images, image) })
	if err != nil || len(ids) == 0 {
		return err
	}
	return c.store.removeContainers(ctx, ids...)
}

// containers lists the IDs of the containers whose image's name is one of ours.
func (s *store) containers(ctx context.Context, ours func(image string) bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	out, err := command.Output(ctx, s.command(s.dialect.listContainers()...))
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []string
	for line := range strings.Lines(string(out)) {
		id, image, _ := strings.Cut(strings.TrimSpace(line), " ")
		if ours(image) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// localImage is a reference that is in no registry, for an image of this run.
func (c *CLI) localImage(what string) string { return "localhost/" + c.localName(what) + ":latest" }

func (s BuildSpec) validate() error {
	if err := checkDirectory(s.Context); err != nil {
		return fmt.Errorf("context: %w", err)
	}
	if !filepath.IsAbs(s.Containerfile) || !filepath.IsAbs(s.Out) {
		return errors.New("the Containerfile and the archive to write need absolute paths")
	}
	if _, err := os.Lstat(s.Out); err == nil {
		return fmt.Errorf("%s is there already", s.Out)
	}
	for base := range s.Bases {
		if _, err := parseReference(base); err != nil {
			return fmt.Errorf("base %w", err)
		}
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
