package fakeaws

import (
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func stsService() service {
	return service{
		name: "sts", faults: queryFaults(), answer: answerXML, refuse: refuseXML,
		actions: map[string]action{
			"GetCallerIdentity":         {do: (*Cloud).getCallerIdentity},
			"AssumeRoleWithWebIdentity": {do: (*Cloud).assumeRole, unsigned: true},
		},
	}
}

// getCallerIdentity needs no permission. https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (c *Cloud) getCallerIdentity(q request) (any, *fault) {
	return struct {
		XMLName xml.Name `xml:"GetCallerIdentityResult"`
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{Arn: q.from.arn, UserID: q.from.id, Account: q.from.account}, nil
}

// sessionName is what may be the name of a role's session.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

const (
	minSession     = 15 * time.Minute
	defaultSession = time.Hour
)

// assumeRole gives a role's credentials to who shows an identity token that the role trusts.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func (c *Cloud) assumeRole(q request) (any, *fault) {
	arn, session := q.form.Get("RoleArn"), q.form.Get("RoleSessionName")
	if !sessionName.MatchString(session) {
		return nil, invalid("ValidationError",
			fmt.Sprintf("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy "+
				`constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`, session))
	}
	if !strings.HasPrefix(arn, "arn:") {
		return nil, invalid("ValidationError", arn+" is invalid")
	}
	claims, refusal := c.readIDToken(q.form.Get("WebIdentityToken"))
	if refusal != nil {
		return nil, refusal
	}
	c.mu.Lock()
	role, known := c.roles[arn]
	c.mu.Unlock()
	if refusal := c.trust(role, known, claims); refusal != nil {
		return nil, refusal
	}
	life, refusal := sessionLife(q.form.Get("DurationSeconds"), role.MaxSession)
	if refusal != nil {
		return nil, refusal
	}
	return c.startSession(arn, role, session, claims, life), nil
}

// trust decides whether a role trusts the holder of an identity token. It does not tell a role that is not there from
// one that says no.
func (c *Cloud) trust(role Role, known bool, claims idClaims) *fault {
	if now := c.now().Unix(); now >= claims.Expires {
		return invalid("ExpiredTokenException",
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now, claims.Expires))
	}
	if known && claims.Audience != role.Audience {
		return invalid("InvalidIdentityToken", "Incorrect token audience")
	}
	if !known || !matches(role.Subject, claims.Subject) {
		return &fault{http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
	}
	return nil
}

// sessionLife is how long a session is to last.
func sessionLife(seconds string, longest time.Duration) (time.Duration, *fault) {
	if longest == 0 {
		longest = defaultSession
	}
	if seconds == "" {
		return defaultSession, nil
	}
	n, err := strconv.Atoi(seconds)
	life := time.Duration(n) * time.Second
	switch {
	case err != nil || life < minSession:
		return 0, invalid("ValidationError",
			fmt.Sprintf("1 validation error detected: Value '%s' at 'durationSeconds' failed to "+
				"satisfy constraint: Member must have value greater than or equal to %d", seconds, int(minSession/time.Second)))
	case life > longest:
		return 0, invalid("ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return life, nil
}

type assumedRole struct {
	XMLName     xml.Name `xml:"AssumeRoleWithWebIdentityResult"`
	Subject     string   `xml:"SubjectFromWebIdentityToken"`
	Audience    string
	Provider    string
	RoleID      string `xml:"AssumedRoleUser>AssumedRoleId"`
	Arn         string `xml:"AssumedRoleUser>Arn"`
	AccessKeyID string `xml:"Credentials>AccessKeyId"`
	Secret      string `xml:"Credentials>SecretAccessKey"`
	Token       string `xml:"Credentials>SessionToken"`
	Expiration  string `xml:"Credentials>Expiration"`
}

func (c *Cloud) startSession(arn string, role Role, session string, claims idClaims, life time.Duration) assumedRole {
	k := c.sessionKey(c.lifetime(func(l Lifetimes) time.Duration { return l.Role }, life))
	p := &principal{
		arn:     c.arn("sts", "", c.Account, "assumed-role/"+role.Name+"/"+session),
		id:      "AROA" + rand.Text()[:17] + ":" + session,
		account: c.Account, policy: arn,
	}
	c.addKey(k, p)
	return assumedRole{
		Subject: claims.Subject, Audience: claims.Audience,
		Provider: c.arn("iam", "", c.Account, "oidc-provider/"+strings.TrimPrefix(issuer, "https://")),
		RoleID:   p.id, Arn: p.arn,
		AccessKeyID: k.ID, Secret: k.Secret, Token: k.SessionToken, Expiration: k.Expires.UTC().Format(time.RFC3339),
	}
}
