package fakeaws

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pushActions are those that ECR's guide wants for pushing.
var pushActions = []string{
	"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage",
}

func allow(service string, actions ...string) []string {
	var all []string
	for _, action := range actions {
		all = append(all, service+":"+action)
	}
	return all
}

func backend() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// login gets a token for u from the cloud's API at url.
func login(t *testing.T, c *Cloud, url, region string, u User, public bool) authn.Authenticator {
	t.Helper()
	token, _, err := registryToken(t, sdk(url, region, c.AddUser(u)), public)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(string(decoded), ":")
	return &authn.Basic{Username: user, Password: password}
}

func push(t *testing.T, ref string, img v1.Image, auth authn.Authenticator) error {
	t.Helper()
	parsed, err := name.ParseReference(strings.TrimPrefix(ref, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return remote.Write(parsed, img, remote.WithAuth(auth), remote.WithContext(t.Context()))
}

func pull(t *testing.T, ref string, auth authn.Authenticator) error {
	t.Helper()
	parsed, err := name.ParseReference(strings.TrimPrefix(ref, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(parsed, remote.WithAuth(auth), remote.WithContext(t.Context()))
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		r, err := layer.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		r.Close()
	}
	return nil
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(256, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// expectRefusal fails unless a registry refused with a status and a text; with status 0, unless err is nil.
func expectRefusal(t *testing.T, err error, status int, text string) {
	t.Helper()
	var refused *transport.Error
	switch {
	case status == 0 && err != nil:
		t.Errorf("error %v, want none", err)
	case status != 0 && (!errors.As(err, &refused) || refused.StatusCode != status ||
		!strings.Contains(refused.Error(), text)):
		t.Errorf("error %v, want status %d with %q", err, status, text)
	}
}

// The door of a private registry lets in who has a token of its region that has not expired. R1.3, R6.1
func TestPrivateDoorTokens(t *testing.T) {
	var when clock
	c := newCloud(t, Options{Now: when.now})
	api := serve(t, c.API())
	all := User{Name: "u", Actions: []string{"*"}}
	c.AddRepository(Repository{Region: "us-west-2", Name: "kmod"})
	ref := serve(t, c.ECR("us-west-2", backend())) + "/kmod:1"
	good := login(t, c, api, "us-west-2", all, false)
	expectRefusal(t, push(t, ref, image(t), good), 0, "")
	expectRefusal(t, pull(t, ref, good), 0, "")

	expectRefusal(t, pull(t, ref, authn.Anonymous), http.StatusUnauthorized, "Not Authorized")
	invented := &authn.Basic{Username: "AWS", Password: "invented"}
	expectRefusal(t, pull(t, ref, invented), http.StatusBadRequest, "Your Authorization Token is invalid.")
	elsewhere := login(t, c, api, "us-east-1", all, false)
	expectRefusal(t, pull(t, ref, elsewhere), http.StatusBadRequest, "Your Authorization Token is invalid.")
	public := login(t, c, api, "us-east-1", all, true)
	expectRefusal(t, pull(t, ref, public), http.StatusBadRequest, "Your Authorization Token is invalid.")

	c.SetLifetimes(Lifetimes{ECRToken: time.Minute})
	short := login(t, c, api, "us-west-2", all, false)
	expectRefusal(t, pull(t, ref, short), 0, "")
	when.advance(time.Minute)
	expectRefusal(
		t, pull(t, ref, short), http.StatusForbidden, "Your authorization token has expired. Reauthenticate and try again.",
	)
	expectRefusal(t, push(t, ref, image(t), short), http.StatusForbidden, "")
	expectRefusal(t, pull(t, ref, good), 0, "")
}

// Each missing permission is named, and is all that is needed.
func TestPrivateDoorPermissions(t *testing.T) {
	c := newCloud(t, Options{})
	api := serve(t, c.API())
	c.AddRepository(Repository{Region: "us-west-2", Name: "kmod"})
	host := serve(t, c.ECR("us-west-2", backend()))
	who := func(account string, actions ...string) authn.Authenticator {
		actions = append(allow("ecr", actions...), "ecr:GetAuthorizationToken")
		return login(t, c, api, "us-west-2", User{Name: "u", Account: account, Actions: actions}, false)
	}
	expectRefusal(t, push(t, host+"/kmod:1", image(t), who("", pushActions...)), 0, "")
	expectRefusal(t, pull(t, host+"/kmod:1", who("", "BatchGetImage", "GetDownloadUrlForLayer")), 0, "")
	denied := func(action string) string {
		return "DENIED: User: arn:aws:iam::111122223333:user/u is not authorized to perform: ecr:" + action +
			" on resource: arn:aws:ecr:us-west-2:111122223333:repository/kmod" +
			" because no identity-based policy allows the ecr:" + action + " action"
	}
	expectRefusal(t, pull(t, host+"/kmod:1", who("", pushActions...)), http.StatusForbidden, denied("BatchGetImage"))
	// Of a push of one layer: the check is a HEAD request, whose refusal has no text.
	for _, missing := range pushActions[1:] {
		var rest []string
		for _, action := range pushActions {
			if action != missing {
				rest = append(rest, action)
			}
		}
		expectRefusal(t, push(t, host+"/kmod:2", image(t), who("", rest...)), http.StatusForbidden, denied(missing))
	}
	foreigner := who("999900001111", pushActions...)
	expectRefusal(t, push(t, host+"/kmod:3", image(t), foreigner), http.StatusForbidden, "")
	nobody := push(t, host+"/other:1", image(t), who("", pushActions...))
	expectRefusal(t, nobody, http.StatusNotFound, "")
}

// What the real registry does not do is not done: no catalogue, nothing deleted, no blob of another repository.
func TestPrivateDoorLimits(t *testing.T) {
	c := newCloud(t, Options{})
	api := serve(t, c.API())
	for _, name := range []string{"from", "to"} {
		c.AddRepository(Repository{Region: "us-west-2", Name: name})
	}
	host := serve(t, c.ECR("us-west-2", backend()))
	auth := login(t, c, api, "us-west-2", User{Name: "u", Actions: []string{"*"}}, false)
	img := image(t)
	expectRefusal(t, push(t, host+"/from:1", img, auth), 0, "")
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		method, path string
		status       int
	}{
		{"GET", "/v2/_catalog", http.StatusMethodNotAllowed},
		{"DELETE", "/v2/from/manifests/" + digest.String(), http.StatusMethodNotAllowed},
		{"POST", "/v2/to/blobs/uploads/?mount=" + digest.String() + "&from=from", http.StatusAccepted},
		{"GET", "/v2/from/tags/list", http.StatusOK},
		{"GET", "/v2/", http.StatusOK},
	}
	for _, tt := range tests {
		if status := send(t, auth, tt.method, host+tt.path, nil); status != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, status, tt.status)
		}
	}
}

// send sends a request with a body of a manifest's type and returns the status of the answer.
func send(t *testing.T, auth authn.Authenticator, method, url string, body []byte) int {
	t.Helper()
	config, err := auth.Authorization()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", string(types.DockerManifestSchema2))
	req.SetBasicAuth(config.Username, config.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// R6.2: a tag of an immutable repository stays what it is; of another it can be changed.
func TestImmutableTags(t *testing.T) {
	c := newCloud(t, Options{})
	api := serve(t, c.API())
	host := serve(t, c.ECR("us-west-2", backend()))
	auth := login(t, c, api, "us-west-2", User{Name: "u", Actions: []string{"*"}}, false)
	c.AddRepository(Repository{Region: "us-west-2", Name: "kmod"})
	expectRefusal(t, push(t, host+"/kmod:a", image(t), auth), 0, "")
	first := image(t)
	expectRefusal(t, push(t, host+"/kmod:a", first, auth), 0, "")

	c.AddRepository(Repository{Region: "us-west-2", Name: "kmod", Immutable: true})
	expectRefusal(
		t, push(t, host+"/kmod:a", image(t), auth), http.StatusBadRequest,
		"TAG_INVALID: The image tag 'a' already exists in the 'kmod' repository and "+
			"cannot be overwritten because the repository is immutable.",
	)
	expectRefusal(t, push(t, host+"/kmod:b", image(t), auth), 0, "")
	manifest, err := first.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	// A push would look first, and not send what is there.
	if status := send(t, auth, http.MethodPut, host+"/v2/kmod/manifests/a", manifest); status != http.StatusCreated {
		t.Errorf("the same image again: status %d, want 201", status)
	}
	digest, err := first.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(strings.TrimPrefix(host, "http://") + "/kmod:a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := remote.Head(ref, remote.WithAuth(auth), remote.WithContext(t.Context())); err != nil ||
		got.Digest != digest {
		t.Errorf("the tag has %v, error %v; want the first image", got, err)
	}
}
