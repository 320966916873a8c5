package fakeaws

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// issuer is who GitHub's identity tokens say they are from.
const issuer = "https://token.actions.githubusercontent.com"

// idClaims are what an identity token says.
// https://docs.github.com/en/actions/reference/security/oidc
type idClaims struct {
	Issuer     string `json:"iss"`
	Audience   string `json:"aud"`
	Subject    string `json:"sub"`
	Issued     int64  `json:"iat"`
	NotBefore  int64  `json:"nbf"`
	Expires    int64  `json:"exp"`
	ID         string `json:"jti"`
	Repository string `json:"repository"`
	Owner      string `json:"repository_owner"`
	Ref        string `json:"ref"`
}

// Subject is who the workflow is in its identity tokens.
func (c *Cloud) Subject() string { return "repo:" + c.workflow + ":ref:" + c.ref }

// RequestToken is the secret that OIDC wants to see: the workflow's ACTIONS_ID_TOKEN_REQUEST_TOKEN.
func (c *Cloud) RequestToken() string { return c.requestToken }

// IDTokenQuery is what ACTIONS_ID_TOKEN_REQUEST_URL has after the address of OIDC. An audience is added to it.
const IDTokenQuery = "?api-version=2.0"

// OIDC is the endpoint that gives a workflow with permission "id-token: write" its identity token.
func (c *Cloud) OIDC() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := Call{Action: "actions:GetIDToken"}
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		query := r.URL.Query()
		status := http.StatusOK
		switch {
		case !strings.EqualFold(scheme, "bearer") || given != c.requestToken:
			status, call.Error = http.StatusUnauthorized, "Unauthorized"
		case r.Method != http.MethodGet || query.Get("api-version") != "2.0":
			// Who puts a second question mark behind the given URL has no version.
			status, call.Error = http.StatusBadRequest, "BadRequest"
		}
		c.record(call)
		if status != http.StatusOK {
			http.Error(w, fmt.Sprintf(`{"message":%q}`, call.Error), status)
			return
		}
		owner, _, _ := strings.Cut(c.workflow, "/")
		life := c.lifetime(func(l Lifetimes) time.Duration { return l.IDToken }, 5*time.Minute)
		token, err := c.IDToken(defaultTo(query.Get("audience"), "https://github.com/"+owner), c.Subject(), life)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"count": len(token), "value": token})
	})
}

// IDToken returns an identity token for an audience, of a subject, that expires after life. A negative life makes
// one that has expired.
func (c *Cloud) IDToken(audience, subject string, life time.Duration) (string, error) {
	now := c.now()
	owner, _, _ := strings.Cut(c.workflow, "/")
	token, err := sign(c.identityKey, idClaims{
		Issuer: issuer, Audience: audience, Subject: subject,
		Issued: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(life).Unix(),
		ID: rand.Text(), Repository: c.workflow, Owner: owner, Ref: c.ref,
	})
	if err != nil {
		return "", fmt.Errorf("sign an identity token: %w", err)
	}
	c.keep(token)
	return token, nil
}

// sign makes a JSON Web Token (RFC 7519) with ES256 (RFC 7518, 3.4).
func sign(key *ecdsa.PrivateKey, claims idClaims) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(payload)
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encode(signature), nil
}

// readIDToken returns what a token says, if GitHub's key signed it. Whether it has expired is not looked at.
func (c *Cloud) readIDToken(token string) (claims idClaims, refusal *fault) {
	refuse := func(message string) (idClaims, *fault) { return idClaims{}, invalid("InvalidIdentityToken", message) }
	const notOne = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refuse(notOne)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return refuse(notOne)
	}
	if claims.Issuer != issuer {
		return refuse("No OpenIDConnect provider found in your account for " + claims.Issuer)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return refuse(notOne)
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(&c.identityKey.PublicKey, hash[:], r, s) {
		return refuse("Couldn't retrieve verification key from your identity provider, " +
			"please reference AssumeRoleWithWebIdentity documentation for requirements")
	}
	return claims, nil
}
