package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/platform/fault"
)

// CheckPush implements Target.
func (t *remoteTarget) CheckPush(ctx context.Context) error {
	for n := 0; ; n++ {
		err := t.tryUpload(ctx)
		if err == nil {
			return nil
		}
		if n == len(t.client.restart) || !canRestart(ctx, err) {
			err = t.classify(ctx, t.withPushAdvice(ctx, err))
			return fmt.Errorf("see whether images can be pushed to %s: %w", t, err)
		}
		if err := sleep(ctx, t.client.restart[n]); err != nil {
			return err
		}
	}
}

// tryUpload begins an upload and cancels it.
//
// It authenticates separately: some token servers refuse everything when the permission to delete is asked for as well,
// and go-containerregistry asks for it from then on once a registry has demanded it for the cancellation.
func (t *remoteTarget) tryUpload(ctx context.Context) error {
	rt, err := t.client.authenticate(ctx, t.repo, t.repo.Scope(transport.PushScope))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: rt, CheckRedirect: keepTLS}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url("blobs/uploads/").String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusAccepted); err != nil {
		return err
	}
	// A failure to cancel does no harm: registries drop abandoned uploads, and not all let a client cancel one.
	if err := cancelUpload(ctx, client, resp); err != nil {
		t.client.log.Debug("cancelling an upload failed", "target", t.String(), "error", Classify(err))
	}
	return nil
}

// cancelUpload cancels the upload that begun, a registry's answer, has opened.
func cancelUpload(ctx context.Context, client *http.Client, begun *http.Response) error {
	at, err := begun.Location()
	if err != nil {
		return err
	}
	if at.Host != begun.Request.URL.Host {
		return fmt.Errorf("the upload is on another host, %s", at.Host)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, at.String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return transport.CheckError(resp, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
}

// withPushAdvice adds to a registry's refusal what to do about it where pushing needs more than reading.
func (t *remoteTarget) withPushAdvice(ctx context.Context, err error) error {
	if status(err) == http.StatusNotFound {
		hint := fmt.Sprintf("check the name; %s may want the repository to be created first", t.repo.RegistryStr())
		return fault.Wrap(err, hint)
	}
	return t.withAccountAdvice(ctx, err, "may push to "+t.String())
}

// CheckPush implements Target.
func (t *layoutTarget) CheckPush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := t.layout.readIndex()
	if err == nil {
		err = t.tryFile()
	}
	if err != nil {
		return fmt.Errorf("see whether images can be written to %s: %w", t, Classify(err))
	}
	return nil
}

// tryFile creates a file in the directory, or in the nearest parent that exists, and removes it. The permissions alone
// do not decide: a file system may be read-only or full, or have rules of its own. The file has a name that gc removes.
func (t *layoutTarget) tryFile() error {
	dir, err := filepath.Abs(t.layout.path)
	if err != nil {
		return err
	}
	for {
		f, err := os.CreateTemp(dir, "."+indexFile+"*")
		if err == nil {
			return errors.Join(f.Close(), os.Remove(f.Name()))
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return err
		}
		dir = parent
	}
}
