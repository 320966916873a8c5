package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/platform/fault"
)

// R6.1: what a target may be.
func TestParseTarget(t *testing.T) {
	tests := map[string]struct{ kind, rest string }{
		"quay.io/me/kmod":         {KindRegistry, "quay.io/me/kmod"},
		"localhost/kmod":          {KindRegistry, "localhost/kmod"},
		"localhost:5000/kmod":     {KindRegistry, "localhost:5000/kmod"},
		"127.0.0.1:5000/a/b/c":    {KindRegistry, "127.0.0.1:5000/a/b/c"},
		"docker.io/me/kmod":       {KindRegistry, "docker.io/me/kmod"},
		"oci:images":              {KindLayout, "images"},
		"oci:/srv/images":         {KindLayout, "/srv/images"},
		"ecr":                     {KindECR, ""},
		"ecr-public":              {KindECRPublic, ""},
		"":                        {},
		"oci:":                    {},
		"oci:images:tag":          {},
		"me/kmod":                 {},
		"kmod":                    {},
		"quay.io":                 {},
		"quay.io/":                {},
		"quay.io/me/kmod:tag":     {},
		"quay.io/me/kmod@sha256:": {},
		"quay.io/Me/Kmod":         {},
		"https://quay.io/me/kmod": {},
		"quay.io/me/../kmod":      {},
		"quay.io/me kmod":         {},
	}
	for s, want := range tests {
		kind, rest, err := ParseTarget(s)
		if kind != want.kind || rest != want.rest || (err == nil) == (want.kind == "") {
			t.Errorf("ParseTarget(%q) = %q, %q, %v; want %q, %q", s, kind, rest, err, want.kind, want.rest)
		}
		if err != nil && fault.Of(err) == "" {
			t.Errorf("ParseTarget(%q): no advice", s)
		}
	}
}

func TestNewTarget(t *testing.T) {
	for s, want := range map[string]string{"docker.io/me/kmod": "docker.io/me/kmod:t", "oci:a/b": "oci:a/b:t"} {
		target := newTestTarget(t, s, nil)
		if target.String() != s || target.Reference("t") != want {
			t.Errorf("%s: String = %q, Reference = %q; want %q", s, target, target.Reference("t"), want)
		}
	}
	for _, s := range []string{"ecr", "ecr-public"} {
		if _, err := NewTarget(s, newTestClient(t, nil)); err == nil || !strings.Contains(err.Error(), "by itself") ||
			!strings.Contains(fault.Of(err), "oci:DIR") {
			t.Errorf("%s: error %v, advice %q", s, err, fault.Of(err))
		}
	}
}

// R8.1: errors of networks and registries come with advice, and without credentials.
func TestClassify(t *testing.T) {
	get, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://registry.test/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	put := get.Clone(t.Context())
	put.Method = http.MethodPut
	answer := func(req *http.Request, code int) error { return &transport.Error{StatusCode: code, Request: req} }
	says := func(req *http.Request, code int, message string) error {
		return &transport.Error{StatusCode: code, Request: req,
			Errors: []transport.Diagnostic{{Code: "DENIED", Message: message}}}
	}
	tests := map[string]struct {
		err  error
		want string
	}{
		"IAM": {says(put, 403, "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform: "+
			"ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-west-2:123456789012:repository/kmod"),
			"allow ecr:InitiateLayerUpload in the IAM policy"},
		"token": {says(get, 403, "Your authorization token has expired. Reauthenticate and try again."),
			"has expired: log in again"},
		"immutable": {says(put, 400, "The image tag 'x' already exists in the 'kmod' repository and cannot be overwritten "+
			"because the repository is immutable."), "tags are immutable"},
		"proxy":       {&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, "HTTPS_PROXY"},
		"401":         {answer(get, 401), "podman login registry.test"},
		"403 reading": {answer(get, 403), "may not read"},
		"403 writing": {answer(put, 403), "may not push"},
		"404":         {answer(get, 404), "check the name"},
		"405":         {answer(put, 405), "read-only"},
		"429":         {answer(get, 429), "limits how often it may be asked: log in, or wait"},
		"503":         {answer(get, 503), "run again later"},
		"418":         {answer(get, 418), ""},
		"no request":  {answer(nil, 401), "the registry"},
		"CA":          {&url.Error{Op: "Get", URL: "https://x", Err: x509.UnknownAuthorityError{}}, "--ca-file"},
		"name":        {&net.DNSError{Name: "registry.test"}, "registry.test"},
		"refused":     {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "nothing listens"},
		"route":       {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "proxy"},
		"full":        {&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "disk is full"},
		"read-only":   {&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "cannot be written"},
		"mode":        {&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "cannot be written"},
		"other":       {errors.New("x"), ""},
		"cancelled":   {context.Canceled, ""},
		"has advice":  {fault.Wrap(answer(get, 401), "stay"), "stay"},
	}
	for name, tt := range tests {
		got := Classify(fmt.Errorf("push: %w", tt.err))
		if !errors.Is(got, tt.err) || !strings.Contains(fault.Of(got), tt.want) || (tt.want == "") != (fault.Of(got) == "") {
			t.Errorf("%s: advice %q, want one with %q", name, fault.Of(got), tt.want)
		}
	}
	if Classify(nil) != nil {
		t.Error("nil became an error")
	}
	signed := Classify(fmt.Errorf("read: %w",
		&url.Error{Op: "Get", URL: "https://u:hunter2@cdn.test/blob?X-Amz-Signature=hunter2#hunter2",
			Err: syscall.ECONNRESET}))
	if strings.Contains(signed.Error(), "hunter2") || !strings.Contains(signed.Error(), "cdn.test/blob") {
		t.Errorf("error %v", signed)
	}
}
