package fakeaws

import (
	"net/http"
	"strings"
	"time"

	"neuron-kmod/test/lab/fakeauth"
)

func ecrPublicService() service {
	return service{
		name: "ecr-public", faults: jsonFaults(), answer: answerJSON, refuse: refuseJSON,
		actions: map[string]action{"GetAuthorizationToken": {do: (*Cloud).getPublicToken}},
	}
}

// publicRegion is where ECR Public's API is, and nowhere else.
const publicRegion = "us-east-1"

// getPublicToken needs two permissions, the second of another service.
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html
func (c *Cloud) getPublicToken(q request) (any, *fault) {
	if q.region != publicRegion {
		return nil, invalid("UnsupportedCommandException", "GetAuthorizationToken command is only supported in us-east-1.")
	}
	for _, action := range []string{"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"} {
		if refusal := c.permit(q.from, action, "*", q.from.account); refusal != nil {
			return nil, refusal
		}
	}
	return map[string]authorizationData{"authorizationData": c.issueToken(q.from, "")}, nil
}

// PublicRepository is a repository of ECR Public: public.ecr.aws/ALIAS/NAME.
type PublicRepository struct {
	Alias, Name string
	Account     string // whose it is; the cloud's if empty
}

// AddPublicRepository makes a repository, or replaces it.
func (c *Cloud) AddPublicRepository(r PublicRepository) {
	r.Account = defaultTo(r.Account, c.Account)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.public[r.Alias+"/"+r.Name] = r
}

const (
	publicRealm   = "/token/"
	publicService = "public.ecr.aws"
)

// ECRPublic puts the door of public.ecr.aws before backend. Everybody may read; writing needs a token and permission.
func (c *Cloud) ECRPublic(backend http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == publicRealm {
			c.answerPublicToken(w, r)
			return
		}
		refusal := notAuthorized
		if from, ok := c.publicTokens.Of(r); ok {
			refusal = c.checkPublic(r, from)
		} else if r.Header.Get("Authorization") != "" {
			refusal = staleToken
		}
		if refusal == nil {
			backend.ServeHTTP(w, fakeauth.Backend(r))
			return
		}
		if refusal.status == http.StatusUnauthorized {
			fakeauth.Challenge(w, r, publicRealm, publicService, "aws")
		}
		fakeauth.Refuse(w, refusal.status, refusal.code, refusal.message)
	})
}

// staleToken is the answer to a token that has ended, or never was one. It is no challenge:
// https://github.com/aws/containers-roadmap/issues/2835
var staleToken = &fault{http.StatusBadRequest, "DENIED", "Your Authorization Token is invalid."}

// notAuthorized makes a client ask for a token.
var notAuthorized = &fault{http.StatusUnauthorized, "DENIED", "Not Authorized"}

// answerPublicToken is the token server: who does not log in gets a token for nobody. Scopes are not looked at; what a
// token is good for is decided when it is used.
func (c *Cloud) answerPublicToken(w http.ResponseWriter, r *http.Request) {
	var from *principal
	if user, password, given := r.BasicAuth(); given {
		var refusal *fault
		if from, refusal = c.pass(user, password, ""); refusal != nil {
			fakeauth.Refuse(w, refusal.status, refusal.code, refusal.message)
			return
		}
	}
	life := c.lifetime(func(l Lifetimes) time.Duration { return l.BearerToken }, 5*time.Minute)
	c.publicTokens.Answer(w, from, life)
}

// checkPublic refuses what from, nil for nobody, may not do.
func (c *Cloud) checkPublic(r *http.Request, from *principal) *fault {
	q, action, refusal := wanted(r)
	if refusal != nil || q.Kind == fakeauth.Ping {
		return refusal
	}
	c.mu.Lock()
	repository, exists := c.public[q.Repository]
	c.mu.Unlock()
	if !exists {
		_, repository.Name, _ = strings.Cut(q.Repository, "/")
		repository.Account = c.Account
	}
	if q.Writes {
		if from == nil {
			return notAuthorized
		}
		resource := c.arn("ecr-public", "", repository.Account, "repository/"+repository.Name)
		if text := c.deny(from, "ecr-public:"+action, resource, repository.Account); text != "" {
			return &fault{http.StatusForbidden, "DENIED", text}
		}
	}
	if !exists {
		return &fault{http.StatusNotFound, "NAME_UNKNOWN", notFound(repository.Name, repository.Account)}
	}
	return nil
}
