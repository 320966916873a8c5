package fakeaws

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
)

// User is somebody with access keys.
type User struct {
	Name    string
	Account string   // the cloud's if empty
	Actions []string // what the user's policy allows: "ecr:PutImage", "ecr:*"
}

// AccessKey is what a user or a role's session signs requests with.
type AccessKey struct {
	ID, Secret   string
	SessionToken string    // empty for a key that does not expire
	Expires      time.Time // zero for a key that does not expire
}

// Role is what a workflow may assume.
type Role struct {
	Name       string
	Audience   string        // that the identity token has to have: sts.amazonaws.com
	Subject    string        // that it has to have; a * stands for anything: "repo:example/*"
	Actions    []string      // what the role's policy allows
	MaxSession time.Duration // the longest that can be asked for; an hour if zero
}

// principal is who a request comes from: a user, or a session of a role.
type principal struct {
	arn, id string
	account string
	policy  string // the ARN of the user or role whose policy counts
}

// key is an access key and whose it is.
type key struct {
	AccessKey
	owner *principal
}

// AddUser adds a user, or gives a user of that name other actions, and returns a new key that does not expire.
func (c *Cloud) AddUser(u User) AccessKey {
	k := AccessKey{ID: "AKIA" + rand.Text()[:16], Secret: secretKey()}
	c.addKey(k, c.user(u))
	return k
}

// AddSession does what AddUser does with a key that is good for life, as a login or a broker gives them.
func (c *Cloud) AddSession(u User, life time.Duration) AccessKey {
	k := c.sessionKey(life)
	c.addKey(k, c.user(u))
	return k
}

func (c *Cloud) sessionKey(life time.Duration) AccessKey {
	return AccessKey{
		ID: "ASIA" + rand.Text()[:16], Secret: secretKey(),
		SessionToken: "IQoJ" + rand.Text() + rand.Text() + rand.Text(), Expires: c.now().Add(life),
	}
}

// secretKey has the length and the alphabet of a real one, with the characters that a form or a URL has to escape.
func secretKey() string { return rand.Text()[:20] + "/+" + rand.Text()[:18] }

func (c *Cloud) user(u User) *principal {
	account := defaultTo(u.Account, c.Account)
	arn := c.arn("iam", "", account, "user/"+u.Name)
	c.SetActions(arn, u.Actions...)
	return &principal{arn: arn, id: "AIDA" + rand.Text()[:17], account: account, policy: arn}
}

func (c *Cloud) addKey(k AccessKey, owner *principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[k.ID] = &key{k, owner}
	c.secrets = append(c.secrets, k.Secret)
	if k.SessionToken != "" {
		c.secrets = append(c.secrets, k.SessionToken)
	}
}

// DeleteKey makes an access key unknown.
func (c *Cloud) DeleteKey(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, id)
}

// AddRole adds a role of the cloud's account, which trusts GitHub's identity tokens, and returns its ARN.
func (c *Cloud) AddRole(r Role) string {
	arn := c.arn("iam", "", c.Account, "role/"+r.Name)
	c.SetActions(arn, r.Actions...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roles[arn] = r
	return arn
}

// SetActions replaces the policy of the user or role with an ARN, from the next request on.
func (c *Cloud) SetActions(arn string, actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policies[arn] = slices.Clone(actions)
}

// deny returns why p may not do action with a resource of an account, in AWS's words, or "" if p may.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func (c *Cloud) deny(p *principal, action, resource, account string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := ""
	switch {
	case !slices.ContainsFunc(c.policies[p.policy], func(allowed string) bool { return matches(allowed, action) }):
		kind = "identity"
	case account != p.account:
		kind = "resource" // repositories here have no policies that let other accounts in
	default:
		return ""
	}
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no %s-based policy allows "+
		"the %s action",
		p.arn, action, resource, kind, action)
}

// matches reports whether text is as the pattern, in which each * stands for anything.
func matches(pattern, text string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for at := range len(text) + 1 {
		if matches(rest, text[at:]) {
			return true
		}
	}
	return false
}
