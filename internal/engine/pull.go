package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"neuron-kmod/internal/command"
	"neuron-kmod/internal/hint"
)

const (
	// pullAttempts bounds our own tries. Podman 4 retries what it takes for a lost connection three times
	// within each, a second apart, which a registry that restarts outlasts.
	pullAttempts = 3
	// pullTime bounds one attempt: a connection that stalls would otherwise hold the run for ever.
	pullTime = time.Hour
)

// pull brings image into the engine's store. A registry that says no is believed at once; anything that
// may pass is tried again. An error that is not the engine's own is a *PullError.
func (c *CLI) pull(ctx context.Context, image reference, progress func(done, total int64)) error {
	wait := c.RetryWait
	for attempt := 1; ; attempt++ {
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
		if v.final || attempt == pullAttempts {
			pullErr := &PullError{Image: image.text, NotFound: v.notFound, Unauthorized: v.unauthorized, Err: err}
			return hint.Wrap(pullErr, v.advice)
		}
		c.Log.Warn("pulling failed, trying again", "image", image.text, "attempt", attempt, "wait", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("pull %s: %w", image.text, context.Cause(ctx))
		}
		wait *= 2
	}
}

// pullOnce has the engine keep what arrives in a folder of the run's: podman leaves it behind when a
// signal ends it, up to the size of the image.
func (c *CLI) pullOnce(ctx context.Context, image reference, progress func(done, total int64)) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pullTime, fmt.Errorf("not done within %s", pullTime))
	defer cancel()
	temp, err := os.MkdirTemp(c.TempDir, "pull-")
	if err != nil {
		return fmt.Errorf("make a folder for layers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	args, env, err := c.dialect.pull(ctx, image.text, c.AuthFile, image.loopback)
	if err != nil {
		return err
	}
	if c.Platform != "" {
		args = append(args[:1:1], append([]string{"--platform=" + c.Platform}, args[1:]...)...)
	}
	said := &layerCount{report: progress}
	cmd := c.command(args...)
	cmd.Env = append(env, "TMPDIR="+temp)
	cmd.Stdout, cmd.Stderr = said, said
	return command.Run(ctx, cmd)
}

// verdict is what an engine's message says about trying again.
type verdict struct {
	final                  bool // trying again will not help
	notFound, unauthorized bool
	advice                 string
}

// verdicts are known messages, lower case, most telling first. What is not here may pass.
var verdicts = []struct {
	texts   []string
	verdict verdict
}{
	{
		[]string{"toomanyrequests", "too many requests", "429"},
		verdict{advice: "the registry limits how much is pulled: wait a while, or give credentials"},
	},
	{
		[]string{"no space left on device"},
		verdict{final: true, advice: "make room where the container engine keeps its images"},
	},
	{
		[]string{"x509:", "certificate signed by unknown authority", "certificate is not trusted"},
		verdict{final: true, advice: "the container engine does not trust the registry's certificate: put its CA where the engine looks, /etc/containers/certs.d/HOST for podman or /etc/docker/certs.d/HOST for docker"},
	},
	{
		[]string{"server gave http response to https client"},
		verdict{final: true, advice: "the registry has no TLS: give it a certificate, or list it as insecure in the container engine's own configuration"},
	},
	{
		[]string{"did not resolve to an alias and no unqualified-search registries"},
		verdict{final: true, advice: "name the image with its registry"},
	},
	{
		// Docker Hub says both for an image that is private or absent; credentials are the likelier mend.
		[]string{"unauthorized", "authentication required", "access denied", "denied:", "invalid username/password", "403 (forbidden)", "403 forbidden", "401 (unauthorized)"},
		verdict{final: true, unauthorized: true, advice: "log in to the registry, or name a file with credentials for it (a Red Hat pull secret for Driver Toolkit images)"},
	},
	{
		[]string{"manifest unknown", "name unknown", "repository name not known", "404 (not found)", "404 not found", "no such manifest", "repository does not exist"},
		verdict{final: true, notFound: true, advice: "the registry has deleted it, or never had it: see that the reference is right and up to date"},
	},
}

// judge reads what the engine said while it failed to pull image: podman's last word, not those of the
// tries it has made itself before. Digests are no words: one may well hold a "429".
func judge(image, stderr string) verdict {
	said := strings.ToLower(stderr)
	if last := strings.LastIndex(said, "error: "); last >= 0 {
		said = said[last:]
	}
	said = strings.ReplaceAll(said, strings.ToLower(image), "IMAGE")
	said = digest.ReplaceAllString(said, "DIGEST")
	for _, known := range verdicts {
		for _, text := range known.texts {
			if strings.Contains(said, text) {
				return known.verdict
			}
		}
	}
	return verdict{advice: "see that the registry can be reached from here, then run it again"}
}
