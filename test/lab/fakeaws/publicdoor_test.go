package fakeaws

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

var publicToken = []string{"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"}

// Everybody may pull from ECR Public. Pushing needs a login, the permissions and a repository: R1.3, R6.1.
func TestPublicDoor(t *testing.T) {
	c := newCloud(t, Options{})
	api := serve(t, c.API())
	c.AddPublicRepository(PublicRepository{Alias: "q5p6u7h8", Name: "neuron-openshift/kmod"})
	c.AddPublicRepository(PublicRepository{Alias: "docker", Name: "library/busybox", Account: "999900001111"})
	host := serve(t, c.ECRPublic(backend()))
	who := func(actions ...string) authn.Authenticator {
		user := User{Name: "u", Actions: append(allow("ecr-public", actions...), publicToken...)}
		return login(t, c, api, "us-east-1", user, true)
	}
	publisher := who(pushActions...)
	own, absent := host+"/q5p6u7h8/neuron-openshift/kmod:1", host+"/q5p6u7h8/other:1"
	expectRefusal(t, push(t, own, image(t), publisher), 0, "")
	expectRefusal(t, pull(t, own, authn.Anonymous), 0, "")
	expectRefusal(t, pull(t, own, publisher), 0, "")
	expectRefusal(t, pull(t, own, who()), 0, "")

	for _, missing := range []int{1, 2, 3, 4} {
		var rest []string
		for i, action := range pushActions {
			if i != missing {
				rest = append(rest, action)
			}
		}
		action := "ecr-public:" + pushActions[missing]
		expectRefusal(
			t,
			push(t, own, image(t), who(rest...)),
			http.StatusForbidden,
			"DENIED: User: arn:aws:iam::111122223333:user/u is not authorized to "+
				"perform: "+action+" on resource: arn:aws:ecr-public::111122223333:repository/neuron-openshift/kmod"+
				" because no identity-based policy allows the "+action+" action",
		)
	}
	publisher = who(pushActions...) // the calls before have changed the user's policy
	expectRefusal(t, push(t, own, image(t), authn.Anonymous), http.StatusUnauthorized, "Not Authorized")
	expectRefusal(
		t, pull(t, absent, authn.Anonymous), http.StatusNotFound,
		"NAME_UNKNOWN: The repository with name 'other' does not exist",
	)
	expectRefusal(t, push(t, absent, image(t), publisher), http.StatusNotFound, "")
	expectRefusal(
		t, push(t, host+"/docker/library/busybox:1", image(t), publisher), http.StatusForbidden,
		"because no resource-based policy",
	)
}

// A login that is wrong or over fails, also for what everybody may do.
func TestPublicDoorTokens(t *testing.T) {
	var when clock
	c := newCloud(t, Options{Now: when.now})
	api := serve(t, c.API())
	c.AddPublicRepository(PublicRepository{Alias: "a", Name: "kmod"})
	ref := serve(t, c.ECRPublic(backend())) + "/a/kmod:1"
	all := User{Name: "u", Actions: []string{"*"}}
	good := login(t, c, api, "us-east-1", all, true)
	expectRefusal(t, push(t, ref, image(t), good), 0, "")
	private := login(t, c, api, "us-west-2", all, false)
	expectRefusal(t, pull(t, ref, private), http.StatusBadRequest, "Your Authorization Token is invalid.")

	c.SetLifetimes(Lifetimes{ECRToken: time.Minute})
	short := login(t, c, api, "us-east-1", all, true)
	expectRefusal(t, pull(t, ref, short), 0, "")
	when.advance(time.Minute)
	expectRefusal(
		t, pull(t, ref, short), http.StatusForbidden, "Your authorization token has expired. Reauthenticate and try again.",
	)
	expectRefusal(t, pull(t, ref, good), 0, "")
}
