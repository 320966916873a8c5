package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"neuron-kmod/test/lab/fakegithub"
)

const githubHost = "github.com"

// startGitHub lets github.com lead to a GitHub with the workflow's repository, and to the source of BusyBox, which is
// mirrored there. Its API is where GitHub Enterprise has it.
func (e *Env) startGitHub(ctx context.Context) error {
	e.GitHub = fakegithub.New(fakegithub.Options{})
	e.GitHub.AddRepository(fakegithub.Repository{Name: workflow})
	e.GitHubToken = e.GitHub.AddToken(fakegithub.Token{Repository: workflow, Contents: fakegithub.Write})
	e.SourceFaults = &Faults{}
	mux := http.NewServeMux()
	mux.Handle("/", e.GitHub)
	mux.Handle("/mirror/busybox/archive/refs/tags/", e.SourceFaults.Wrap(http.HandlerFunc(serveBusyBox)))
	if err := e.Internet.Serve(ctx, githubHost, mux); err != nil {
		return fmt.Errorf("start %s: %w", githubHost, err)
	}
	return nil
}

// ReleaseVars are those of a job that may write releases, in addition to ActionsVars or LocalVars.
func (e *Env) ReleaseVars() []string {
	return []string{
		"GITHUB_API_URL=https://" + githubHost + "/api/v3", "GITHUB_REPOSITORY=" + workflow, "GITHUB_TOKEN=" + e.GitHubToken,
	}
}

// Releases is what there is on GitHub.
func (e *Env) Releases() []fakegithub.Release { return e.GitHub.Snapshot(workflow).Releases }

// DeleteReleases makes the repository one without releases.
func (e *Env) DeleteReleases() { e.GitHub.AddRepository(fakegithub.Repository{Name: workflow}) }

// Attachment downloads an asset of a release as anybody can.
func (e *Env) Attachment(ctx context.Context, tag, name string) ([]byte, error) {
	client, err := e.Client()
	if err != nil {
		return nil, err
	}
	proxy, err := url.Parse(e.Internet.URL())
	if err != nil {
		return nil, err
	}
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(proxy)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(
		ctx,
		http.MethodGet,
		"https://"+githubHost+"/"+workflow+"/releases/download/"+tag+"/"+name,
		nil,
	)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	var data bytes.Buffer
	_, err = data.ReadFrom(resp.Body)
	return data.Bytes(), err
}

// serveBusyBox answers with an archive of a source tree as GitHub makes it of the tag 1_36_1.
func serveBusyBox(w http.ResponseWriter, r *http.Request) {
	tag, ok := strings.CutSuffix(path.Base(r.URL.Path), ".tar.gz")
	parts := strings.Split(tag, "_")
	if !ok || len(parts) != 3 {
		http.NotFound(w, r)
		return
	}
	data, err := busyBoxSource("busybox-"+tag, parts)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-gzip")
	_, _ = w.Write(data)
}

// busyBoxSource is as much of a source tree as tells which version it is.
func busyBoxSource(dir string, version []string) ([]byte, error) {
	makefile := fmt.Sprintf("VERSION = %s\nPATCHLEVEL = %s\nSUBLEVEL = %s\nEXTRAVERSION =\nNAME = Unnamed\n", version[0],
		version[1], version[2])
	var data bytes.Buffer
	zip := gzip.NewWriter(&data)
	archive := tar.NewWriter(zip)
	for _, f := range []struct{ name, text string }{
		{"Makefile", makefile}, {"LICENSE", "GNU GENERAL PUBLIC LICENSE, version 2\n"}, {"AUTHORS", "many\n"},
		{"shell/ash.c", "/* ash */\n"},
	} {
		h := &tar.Header{Name: dir + "/" + f.name, Mode: 0o644, Size: int64(len(f.text)),
			ModTime: time.Unix(1684500000, 0)}
		if err := archive.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := archive.Write([]byte(f.text)); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}
