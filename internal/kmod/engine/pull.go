package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
)

const (
	// pullAttempts bounds our own tries. Podman 4 retries what it takes for a lost connection three times within each, a
	// second apart, which a registry that restarts outlasts.
	pullAttempts = 3
	// pullTime bounds one attempt: a connection that stalls would otherwise hold the run for ever.
	pullTime = time.Hour
)

// pull brings image into the engine's store. A registry that says no is believed at once; anything that may pass is
// tried again. A failure that is the image's or its registry's is a *PullError; one that any other image would meet as
// well is not, so that nobody tries one after the other.
func (c *CLI) pull(ctx context.Context, image reference, progress func(done, total int64)) error {
	wait := c.opts.RetryWait
	for attempt := 1; ; attempt++ {
		if err := c.login(ctx); err != nil {
			return fmt.Errorf("pull %s: %w", image.text, err)
		}
		err := c.pullOnce(ctx, image, progress)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("pull %s: %w", image.text, context.Cause(ctx))
		}
		failed, ok := errors.AsType[*command.Error](err)
		if !ok || errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("pull %s: %w", image.text, err)
		}
		v := judge(image.text, failed.Stderr)
		if v.machine {
			return fault.Wrap(fmt.Errorf("pull %s: %w", image.text, err), c.machineAdvice(ctx, v))
		}
		if v.final || attempt == pullAttempts {
			pullErr := &PullError{Image: image.text, NotFound: v.notFound, Unauthorized: v.unauthorized, Err: err}
			return fault.Wrap(pullErr, v.advice)
		}
		c.opts.Log.Warn("pulling failed, trying again", "image", image.text, "attempt", attempt, "wait", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("pull %s: %w", image.text, context.Cause(ctx))
		}
		wait *= 2
	}
}

// login has the caller bring AuthFile up to date. A run may outlast the tokens that it began with: those of ECR live 12
// hours. https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
func (c *CLI) login(ctx context.Context) error {
	if c.opts.Login == nil {
		return nil
	}
	select {
	case c.loginSlot <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.loginSlot }()
	err := c.opts.Login(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("bring the registry credentials up to date: %w", err)
	}
	return nil
}

// pullOnce has the engine keep what arrives in a directory of the run's: podman leaves it behind when a signal ends it,
// up to the size of the image.
func (c *CLI) pullOnce(ctx context.Context, image reference, progress func(done, total int64)) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pullTime, fmt.Errorf("not done within %s", pullTime))
	defer cancel()
	temp, err := os.MkdirTemp(c.opts.TempDir, "pull-")
	if err != nil {
		return fmt.Errorf("make a directory for layers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	certs, err := c.certDir(temp)
	if err != nil {
		return err
	}
	args, env, err := c.store.dialect.pull(ctx, pull{image: image, authFile: c.opts.AuthFile, certDir: certs})
	if err != nil {
		return err
	}
	if c.opts.Platform != "" {
		args = append(args[:1:1], append([]string{"--platform=" + c.opts.Platform}, args[1:]...)...)
	}
	said := &layerCount{report: progress}
	cmd := c.store.command(args...)
	cmd.Env = append(env, "TMPDIR="+temp)
	cmd.Stdout, cmd.Stderr = said, said
	return command.Run(ctx, cmd)
}

// maxCAFile is far above what all CAs of the world need.
const maxCAFile = 16 << 20

// certDir makes a directory in temp that holds CAFile as podman wants it; "" without a CAFile.
func (c *CLI) certDir(temp string) (string, error) {
	if c.opts.CAFile == "" {
		return "", nil
	}
	pem, err := limit.ReadFile(c.opts.CAFile, maxCAFile)
	if err != nil {
		return "", fmt.Errorf("read the CA file: %w", err)
	}
	dir := filepath.Join(temp, "certs")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "ca.crt"), pem, 0o600)); err != nil {
		return "", fmt.Errorf("copy the CA file: %w", err)
	}
	return dir, nil
}

// verdict is what an engine's message says about trying again.
type verdict struct {
	texts                  []string // any of which the message holds, lower case
	final                  bool     // trying again will not help
	machine                bool     // nor will another image: the fault is this machine's
	fullDisk               bool
	notFound, unauthorized bool
	advice                 string
}

// verdicts are those of known messages, most telling first. What is not here may pass.
var verdicts = []verdict{
	{
		texts:  []string{"toomanyrequests", "too many requests", "status: 429", "statuscode: 429"}, // 429 may be a port
		advice: "the registry limits how much is pulled: wait a while, or give credentials",
	},
	{
		texts:   []string{"no space left on device"},
		machine: true, fullDisk: true,
	},
	{
		texts:   []string{"x509:", "certificate signed by unknown authority", "certificate is not trusted"},
		machine: true,
		advice: "give the CA of the registry's certificate with --ca-file or SSL_CERT_FILE; for " +
			"docker put it into /etc/docker/certs.d/HOST/ca.crt",
	},
	{
		texts: []string{"server gave http response to https client"},
		final: true,
		advice: "the registry has no TLS: give it a certificate, or list it as insecure in the " +
			"container engine's own configuration",
	},
	{
		texts:  []string{"did not resolve to an alias and no unqualified-search registries"},
		final:  true,
		advice: "name the image with its registry",
	},
	{
		// Docker Hub says both for an image that is private or absent; credentials are the likelier remedy.
		texts: []string{
			"unauthorized", "authentication required", "no basic auth credentials", "access denied", "denied:",
			"invalid username/password", "403 (forbidden)", "403 forbidden", "401 (unauthorized)",
		},
		final: true, unauthorized: true,
		advice: "log in to the registry, or name a file with credentials for it " +
			"(a Red Hat pull secret for Driver Toolkit images)",
	},
	{
		texts: []string{
			"manifest unknown", "name unknown", "repository name not known", "404 (not found)", "404 not found",
			"no such manifest", "repository does not exist",
		},
		final: true, notFound: true,
		advice: "the registry has deleted it, or never had it: see that the reference is right and up to date",
	},
}

// machineAdvice is what to do about a failure that is this machine's.
func (c *CLI) machineAdvice(ctx context.Context, v verdict) string {
	if !v.fullDisk {
		return v.advice
	}
	where := "where the container engine keeps its images"
	if info, err := c.store.info(ctx); err == nil && info.Storage != "" {
		where = "in " + info.Storage
	}
	if c.store.engineName() == "podman" {
		where += ", and in " + c.opts.TempDir + " while layers arrive"
	}
	return "make room: a pull takes about 3 times the size of the image, " + where
}

// lastWord is the end of what an engine said while it failed, lower case, without podman's warnings and the tries it
// has made itself before.
func lastWord(stderr string) string {
	said := strings.ToLower(stderr)
	if last := strings.LastIndex(said, "error: "); last >= 0 {
		said = said[last:]
	}
	return said
}

// judge reads what the engine said while it failed to pull image. Digests are no words: one may well hold a "429".
func judge(image, stderr string) verdict {
	said := strings.ReplaceAll(lastWord(stderr), strings.ToLower(image), "IMAGE")
	said = digest.ReplaceAllString(said, "DIGEST")
	for _, known := range verdicts {
		for _, text := range known.texts {
			if strings.Contains(said, text) {
				return known
			}
		}
	}
	return verdict{advice: "see that the registry can be reached from here, then run it again"}
}
