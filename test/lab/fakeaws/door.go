package fakeaws

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"neuron-kmod/test/lab/fakeauth"
)

// registryActions are what a client of a registry needs permission for. What is not here registries of AWS do not do.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
var registryActions = map[fakeauth.Kind]map[string]string{
	fakeauth.Tags:     {http.MethodGet: "ListImages"},
	fakeauth.Manifest: {http.MethodGet: "BatchGetImage", http.MethodHead: "BatchGetImage", http.MethodPut: "PutImage"},
	fakeauth.Blob:     {http.MethodGet: "GetDownloadUrlForLayer", http.MethodHead: "BatchCheckLayerAvailability"},
	fakeauth.Upload: {
		http.MethodPost: "InitiateLayerUpload", http.MethodPut: "CompleteLayerUpload",
		http.MethodPatch: "UploadLayerPart", http.MethodGet: "UploadLayerPart", http.MethodDelete: "UploadLayerPart",
	},
}

// wanted returns what a request to a registry is about and the action that it needs permission for, without the
// service's name; a ping needs none.
func wanted(r *http.Request) (q fakeauth.Request, action string, refusal *fault) {
	q = fakeauth.Parse(r)
	action = registryActions[q.Kind][r.Method]
	if action == "" && q.Kind != fakeauth.Ping {
		refusal = &fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported."}
	}
	return q, action, refusal
}

// pass is a token's owner in front of a registry, or the refusal of the token.
func (c *Cloud) pass(user, password, region string) (*principal, *fault) {
	c.mu.Lock()
	t := c.tokens[password]
	c.mu.Unlock()
	if t == nil || user != "AWS" || t.region != region {
		return nil, invalid("DENIED", "Your Authorization Token is invalid.")
	}
	if !c.now().Before(t.expires) {
		return nil, &fault{http.StatusForbidden, "DENIED",
			"Your authorization token has expired. Reauthenticate and try again."}
	}
	return t.owner, nil
}

// ECR puts the account's door in a region before backend, which then is the registry that GetAuthorizationToken names.
func (c *Cloud) ECR(region string, backend http.Handler) http.Handler {
	d := &privateDoor{cloud: c, region: region, backend: backend}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, given := r.BasicAuth()
		if !given {
			w.Header().Set("Www-Authenticate", fmt.Sprintf(`Basic realm="https://%s/",service="ecr.amazonaws.com"`, r.Host))
			http.Error(w, "Not Authorized", http.StatusUnauthorized)
			return
		}
		from, refusal := c.pass(user, password, region)
		if refusal == nil {
			refusal = d.check(r, from)
		}
		if refusal != nil {
			fakeauth.Refuse(w, refusal.status, refusal.code, refusal.message)
			return
		}
		d.serve(w, r)
	})
}

type privateDoor struct {
	cloud   *Cloud
	region  string
	backend http.Handler
	tagging sync.Mutex // one tag at a time, so that nothing comes between looking and writing
}

// check refuses what the policies do not allow and repositories that are not there.
func (d *privateDoor) check(r *http.Request, from *principal) *fault {
	q, action, refusal := wanted(r)
	if refusal != nil || q.Kind == fakeauth.Ping {
		return refusal
	}
	resource := d.cloud.repositoryARN(d.region, q.Repository)
	if text := d.cloud.deny(from, "ecr:"+action, resource, d.cloud.Account); text != "" {
		return &fault{http.StatusForbidden, "DENIED", text}
	}
	if _, ok := d.cloud.Repository(d.region, q.Repository); !ok {
		return &fault{http.StatusNotFound, "NAME_UNKNOWN", notFound(q.Repository, d.cloud.Account)}
	}
	return nil
}

// maxManifest is what a registry has to accept at least.
const maxManifest = 4 << 20

func (d *privateDoor) serve(w http.ResponseWriter, r *http.Request) {
	q := fakeauth.Parse(r)
	repository, _ := d.cloud.Repository(d.region, q.Repository)
	if !repository.Immutable || q.Kind != fakeauth.Manifest || !q.Writes || strings.Contains(q.Reference, ":") {
		d.backend.ServeHTTP(w, fakeauth.Backend(r))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		fakeauth.Refuse(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the manifest is too large")
		return
	}
	d.tagging.Lock()
	defer d.tagging.Unlock()
	sum := sha256.Sum256(body)
	if there := d.digest(r, q); there != "" && there != "sha256:"+hex.EncodeToString(sum[:]) {
		fakeauth.Refuse(w, http.StatusBadRequest, "TAG_INVALID",
			fmt.Sprintf("The image tag '%s' already exists in the '%s' repository "+
				"and cannot be overwritten because the repository is immutable.", q.Reference, q.Repository))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	d.backend.ServeHTTP(w, fakeauth.Backend(r))
}

// digest returns that of the image which has the tag that r is about, "" if there is none.
func (d *privateDoor) digest(r *http.Request, q fakeauth.Request) string {
	look, err := http.NewRequestWithContext(r.Context(), http.MethodHead, "/v2/"+q.Repository+"/manifests/"+q.Reference,
		nil)
	if err != nil {
		return ""
	}
	look.Host = r.Host
	look.Header.Set("Accept", r.Header.Get("Content-Type"))
	for _, accept := range manifestTypes {
		look.Header.Add("Accept", accept)
	}
	answer := &headRecorder{header: http.Header{}}
	d.backend.ServeHTTP(answer, look)
	if answer.status != http.StatusOK {
		return ""
	}
	return answer.header.Get("Docker-Content-Digest")
}

var manifestTypes = []string{
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}

// headRecorder keeps status and header of an answer.
type headRecorder struct {
	header http.Header
	status int
}

func (h *headRecorder) Header() http.Header { return h.header }

func (h *headRecorder) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *headRecorder) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return len(p), nil
}
