package fakeaws

import "slices"

// Call is something that the cloud was asked to do.
type Call struct {
	Action    string // as in a policy: "sts:GetCallerIdentity"; an identity token is "actions:GetIDToken"
	Region    string // that the request was signed for; empty if it was not
	Principal string // the ARN of who asked; empty if the cloud could not tell
	Error     string // the code of the refusal; empty if there was none
}

func (c *Cloud) record(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

// Calls returns what the cloud was asked to do, in order, refused or not.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Count tells how often an action was asked for and not refused.
func (c *Cloud) Count(action string) int {
	n := 0
	for _, call := range c.Calls() {
		if call.Action == action && call.Error == "" {
			n++
		}
	}
	return n
}

// keep adds to what Secrets returns.
func (c *Cloud) keep(secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

// Secrets returns every secret that the cloud holds or has issued, expired ones as well, for a test to look for in what
// the product writes: secret keys, session tokens, registry tokens as they are and as auth files have them, the
// workflow's request token, identity tokens, bearer tokens.
func (c *Cloud) Secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(c.publicTokens.Secrets(), c.secrets...)
}
