package github

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"neuron-kmod/internal/platform/fault"
)

// R1.3: a job asks for its identity token as GitHub's documentation says.
func TestIDToken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "bearer request-token" || r.URL.Query().Get("audience") != "sts.amazonaws.com" || r.URL.Query().Get("api-version") != "2.0" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"count": 1, "value": "the.id.token"}`)
	}))
	t.Cleanup(s.Close)
	o := OIDC{URL: s.URL + "/token?api-version=2.0", Request: "request-token", HTTP: s.Client()}
	got, err := o.IDToken(t.Context(), "sts.amazonaws.com")
	if err != nil || got != "the.id.token" {
		t.Errorf("token %q, %v", got, err)
	}
}

// R8.1, R10.2: what can go wrong comes with advice, and no token is repeated.
func TestIDTokenFails(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"wrong token": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"no JSON":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hunter2") },
		"no token":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"other": "hunter2"}`) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"value": "`+strings.Repeat("hunter2", maxTokenAnswer))
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			t.Cleanup(s.Close)
			_, err := OIDC{URL: s.URL, Request: "hunter2", HTTP: s.Client()}.IDToken(t.Context(), "sts.amazonaws.com")
			if err == nil || fault.Of(err) == "" || strings.Contains(err.Error()+fault.Of(err), "hunter2") {
				t.Errorf("error %.300v, advice %q", err, fault.Of(err))
			}
		})
	}
	for _, o := range []OIDC{{Request: "hunter2"}, {URL: "https://token.test"}} {
		if _, err := o.IDToken(t.Context(), "sts.amazonaws.com"); !errors.Is(err, ErrNoIdentity) || !strings.Contains(fault.Of(err), "id-token: write") {
			t.Errorf("%+v: error %v, advice %q", o, err, fault.Of(err))
		}
	}
}
