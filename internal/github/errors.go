package github

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	api "github.com/google/go-github/v89/github"

	"neuron-kmod/internal/platform/fault"
)

// CredentialError is a failure that the user has to mend: the token is missing, wrong, or may not do what is needed, or
// the repository is not there for it. Sending the request again would not help.
type CredentialError struct{ Err error }

func (e *CredentialError) Error() string { return e.Err.Error() }
func (e *CredentialError) Unwrap() error { return e.Err }

// FaultKind implements fault.KindOf.
func (e *CredentialError) FaultKind() fault.Kind { return fault.Prerequisite }

// ErrNoToken says that there is nothing to show to GitHub.
var ErrNoToken = errors.New("there is no token for GitHub")

// ErrImmutable says that a release is closed to changes.
var ErrImmutable = errors.New("the release is immutable")

// answered is an answer of GitHub that is an error, in few words.
type answered struct {
	err  error
	text string
}

func (a *answered) Error() string { return a.text }
func (a *answered) Unwrap() error { return a.err }

// maxText bounds what is repeated of an answer.
const maxText = 300

// brief shortens the text of an error of the library to what the user can use, without the token if a server has
// repeated it.
func (c *Client) brief(err error) error {
	var text string
	switch e := err.(type) { //nolint:errorlint // what the library returns as it is; what is wrapped has its text already
	case *api.ErrorResponse:
		text = fmt.Sprintf("GitHub answers %d %s", e.Response.StatusCode, details(e))
	case *api.RateLimitError:
		text = "GitHub's limit of requests is used up until " + e.Rate.Reset.UTC().Format(time.TimeOnly) + " UTC"
	case *api.AbuseRateLimitError:
		text = "GitHub takes no more requests at the moment: " + e.Message
	case *json.SyntaxError, *json.UnmarshalTypeError:
		text = c.host + " answers with something else than GitHub's API does"
	case *url.Error: // its query may be what opens an asset's content
		address, _, _ := strings.Cut(e.URL, "?")
		return &url.Error{Op: e.Op, URL: address, Err: e.Err}
	default:
		return err
	}
	if c.token != "" {
		text = strings.ReplaceAll(text, c.token, "(secret)")
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return &answered{err: err, text: text}
}

// details are what GitHub says is wrong.
func details(e *api.ErrorResponse) string {
	text := e.Message
	if text == "" {
		text = http.StatusText(e.Response.StatusCode)
	}
	for _, one := range e.Errors {
		switch {
		case one.Message != "":
			text += ": " + one.Message
		case one.Code != "":
			text += ": " + one.Field + " " + one.Code
		}
	}
	return text
}

// status is that of GitHub's answer; 0 if err is none.
func status(err error) int {
	if e, ok := errors.AsType[*api.ErrorResponse](err); ok {
		return e.Response.StatusCode
	}
	return 0
}

// nameTaken reports whether GitHub has refused a name or a tag because something else has it.
func nameTaken(err error) bool {
	e, ok := errors.AsType[*api.ErrorResponse](err)
	if !ok || e.Response.StatusCode != http.StatusUnprocessableEntity {
		return false
	}
	return slices.ContainsFunc(e.Errors, func(one api.Error) bool { return one.Code == "already_exists" })
}

// classify returns err with advice, as a *CredentialError if it is one. Advice that is there stays.
func (c *Client) classify(err error) error {
	if err == nil {
		return nil
	}
	credential, advice := c.advise(err)
	if credential {
		err = &CredentialError{err}
	}
	if fault.Of(err) != "" {
		return err
	}
	return fault.Wrap(err, advice)
}

// advise reports whether err is the user's to mend, and how.
func (c *Client) advise(err error) (credential bool, advice string) {
	if errors.Is(err, ErrNoToken) {
		return true, "set GITHUB_TOKEN or GH_TOKEN; in GitHub Actions: `env: GITHUB_TOKEN: ${{ github.token }}`; " +
			"elsewhere `export GH_TOKEN=$(gh auth token)`"
	}
	if _, ok := errors.AsType[*api.RateLimitError](err); ok {
		return false, "run again after that; a token of your own has a limit of its own"
	}
	if _, ok := errors.AsType[*api.AbuseRateLimitError](err); ok {
		return false, "run again in a few minutes, with fewer runs at the same time"
	}
	const enterprise = "set GITHUB_API_URL to " + DefaultAPI + ", or to https://HOST/api/v3 for GitHub Enterprise Server"
	switch code := status(err); {
	case code == http.StatusUnauthorized:
		return true, "the token is wrong, or its time is over: set GITHUB_TOKEN or GH_TOKEN anew; that of a job in GitHub " +
			"Actions ends with the job"
	case code == http.StatusForbidden:
		if e, ok := errors.AsType[*api.ErrorResponse](err); ok && e.Response.Header.Get("X-Github-Sso") != "" {
			return true, "the organisation wants single sign-on: authorise the token for it in its settings on GitHub"
		}
		return true, "give the job in the workflow `permissions: contents: write`; a fine-grained token needs Contents: " +
			"Read and write; a classic one the scope repo"
	case code == http.StatusNotFound:
		advice = fmt.Sprintf("see that %s/%s in GITHUB_REPOSITORY is right and that the token may write to it (contents: "+
			"write; classic tokens: scope repo)", c.owner, c.repo)
		if c.host != "api.github.com" {
			advice += "; or " + enterprise
		}
		return true, advice
	case code >= 500:
		return false, "see https://www.githubstatus.com and run again later; what is done stays done"
	case code != 0:
		return false, "if it is not clear from that, run again; what is done stays done"
	}
	if _, ok := errors.AsType[*answered](err); ok {
		return false, enterprise
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return false,
			"GitHub cannot be reached: check the network and the proxy settings (HTTPS_PROXY, NO_PROXY); what is done stays done"
	}
	return false, ""
}
