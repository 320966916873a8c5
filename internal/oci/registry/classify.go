package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/platform/fault"
)

// errNotFound satisfies Is404 where no registry has answered: a layout has no such tag or image.
var errNotFound = errors.New("there is no such image")

// Is404 reports whether err means that what was asked for does not exist.
func Is404(err error) bool {
	return errors.Is(err, errNotFound) || status(err) == http.StatusNotFound
}

// IsUnauthorized reports whether err means that credentials are missing, wrong, or not sufficient for this request.
func IsUnauthorized(err error) bool {
	return status(err) == http.StatusUnauthorized || status(err) == http.StatusForbidden
}

// IsOutage reports whether err means that a registry could not be reached, or could not serve any request.
func IsOutage(err error) bool {
	if code := status(err); code != 0 {
		return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests
	}
	return errors.As(err, new(net.Error))
}

// status returns the HTTP status that err carries, 0 if none.
func status(err error) int {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

// Classify returns err with a hint, if it is an error of the network, of a registry or of a directory that the user can
// fix and that has no hint yet. Signed URLs that registries redirect to are credentials, so queries are removed from
// the text. nil stays nil.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = withoutURL(err, e.URL)
	}
	if fault.Of(err) == "" {
		err = fault.Wrap(err, advice(err))
	}
	return withKind(err)
}

// withKind marks what the user has to fix: a name that leads nowhere, and credentials. An error with a kind keeps it.
func withKind(err error) error {
	switch {
	case fault.KindOf(err) != fault.Service:
		return err
	case Is404(err):
		return fault.AsUsage(err)
	case IsUnauthorized(err):
		return fault.AsPrerequisite(err)
	}
	return err
}

// redactedError is an error with another text.
type redactedError struct {
	err  error
	text string
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// withoutURL returns err with the address in its text reduced to what is not secret. The text of an error that was
// wrapped is fixed, so changing the *url.Error would not suffice.
func withoutURL(err error, address string) error {
	u, parseErr := url.Parse(address)
	if parseErr != nil {
		u = &url.URL{Opaque: "(an address that does not parse)"}
	}
	if u.RawQuery == "" && u.Fragment == "" && u.User == nil && parseErr == nil {
		return err
	}
	plain := url.URL{Scheme: u.Scheme, Opaque: u.Opaque, Host: u.Host, Path: u.Path}
	quoted := strings.Trim(strconv.Quote(address), `"`) // as *url.Error writes it
	text := strings.NewReplacer(address, plain.String(), quoted, plain.String()).Replace(err.Error())
	return &redactedError{err: err, text: text}
}

// advice returns what the user can do about err, "" if nothing is known.
func advice(err error) string {
	// A certificate comes before a status: for a registry on this machine err holds both, the refused https and the
	// answer of the same port to http.
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "if the registry has a certificate of a private CA, give the CA's with --ca-file or SSL_CERT_FILE"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the registry's certificate is not valid for this name or time: check the name, the clock and the certificate"
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return statusAdvice(e)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "proxyconnect" {
		return "the proxy cannot be reached or does not let this through: check HTTPS_PROXY and NO_PROXY"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("check the name %q, the name server and the proxy settings (HTTPS_PROXY, NO_PROXY)", e.Name)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the host and port, and that the registry runs"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, os.ErrDeadlineExceeded):
		return "there is no way to the host: check the network, the firewall and the proxy settings (HTTPS_PROXY, NO_PROXY)"
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return "the directory cannot be written: choose another one or change its permissions"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full: make room or choose a directory on another disk"
	}
	return ""
}

// statusAdvice returns the advice for a registry's answer.
func statusAdvice(e *transport.Error) string {
	host, writing := "the registry", false
	if e.Request != nil {
		host = e.Request.URL.Host
		writing = e.Request.Method != http.MethodGet && e.Request.Method != http.MethodHead
	}
	if action := deniedAction(e); action != "" {
		return fmt.Sprintf("allow %s in the IAM policy of that identity, or use another one", action)
	}
	if immutable(e) {
		return "the repository's tags are immutable: delete the tag there first, or make its tags mutable"
	}
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Sprintf("credentials for %s are missing or wrong: "+
			"log in (podman login %s) or name the auth file in REGISTRY_AUTH_FILE", host, host)
	case http.StatusForbidden:
		if expired(e) {
			return fmt.Sprintf("the login for %s has expired: log in again", host)
		}
		if writing {
			return fmt.Sprintf("these credentials for %s may not push here: use an account that may, or another target", host)
		}
		return fmt.Sprintf("these credentials for %s may not read this: use an account that may", host)
	case http.StatusMethodNotAllowed:
		return fmt.Sprintf("%s does not allow this; where it is a read-only mirror, choose another target", host)
	case http.StatusNotFound:
		return fmt.Sprintf("check the name; %s has nothing there that these credentials may see", host)
	case http.StatusTooManyRequests:
		return fmt.Sprintf("%s limits how often it may be asked: log in, or wait", host)
	}
	if e.StatusCode >= 500 {
		return fmt.Sprintf("%s is in trouble; run again later, what is done stays done", host)
	}
	return ""
}

// deniedForm is the wording of AWS's refusals, in ECR as in its other services:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
var deniedForm = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]{1,40}:[A-Za-z]{1,60})`)

// deniedAction returns the IAM action that AWS refuses, "" if e is no such refusal.
func deniedAction(e *transport.Error) string {
	for _, d := range e.Errors {
		if m := deniedForm.FindStringSubmatch(d.Message); m != nil {
			return m[1]
		}
	}
	return ""
}

// immutable reports whether a registry has refused to move a tag.
func immutable(e *transport.Error) bool {
	return slices.ContainsFunc(e.Errors, func(d transport.Diagnostic) bool {
		return e.StatusCode < 500 && strings.Contains(strings.ToLower(d.Message), "immutable")
	})
}

// isExpired reports whether err is the refusal of a login that has expired.
func isExpired(err error) bool {
	e, ok := errors.AsType[*transport.Error](err)
	return ok && e.StatusCode == http.StatusForbidden && expired(e)
}

// expired reports whether a registry has refused a token that has expired; ECR does so with 403.
func expired(e *transport.Error) bool {
	return slices.ContainsFunc(e.Errors, func(d transport.Diagnostic) bool {
		return strings.Contains(d.Message, "expired")
	})
}
