package fakegithub

import (
	"net/http"
	"regexp"
	"slices"
	"time"
)

// Fault is one thing that goes wrong, for the requests that it matches.
type Fault struct {
	Method string         // empty matches all
	Path   *regexp.Regexp // of the URL's path; nil matches all
	Skip   int            // let that many matching requests pass first
	Times  int            // then go wrong so often; 0 is for ever

	After bool // the request takes effect first, and only its answer goes wrong
	Half  bool // an upload's content is lost, and its asset stays in state "starter"

	Status  int // answer with it: 502, 429 ...; 0 breaks the connection
	Header  http.Header
	Message string // in GitHub's form of an error; without one the answer is a page for people
	Doc     string // documentation_url, by which clients know a rate limit
}

// SecondaryLimit is the refusal of too much at once, with status 403 or 429. Zero for retryAfter leaves out the header.
// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
func SecondaryLimit(status int, retryAfter string) Fault {
	f := Fault{
		Times: 1, Status: status, Header: http.Header{},
		Message: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
		Doc:     docs + "/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
	}
	if retryAfter != "" {
		f.Header.Set("Retry-After", retryAfter)
	}
	return f
}

// SetFaults replaces the faults. Of several that match a request the first counts.
func (f *Forge) SetFaults(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
	for _, fault := range faults {
		f.faults = append(f.faults, &fault)
	}
}

// SetHook has a function called at the start of every request, with the request's number since the last Forget, which
// starts at 1. It may block, ask the forge and set faults. The request takes effect after it, whatever becomes of its
// sender.
func (f *Forge) SetHook(hook func(n int, r *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// due is the fault for a request; nil if there is none.
func (f *Forge) due(r *http.Request) *Fault {
	for i, fault := range f.faults {
		if (fault.Method != "" && fault.Method != r.Method) || (fault.Path != nil && !fault.Path.MatchString(r.URL.Path)) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				f.faults = slices.Delete(f.faults, i, i+1)
			}
		}
		return fault
	}
	return nil
}

// answer is the one that the fault gives.
func (f *Fault) answer() answer {
	if f.Message != "" {
		return (&refusal{status: f.Status, header: f.Header, message: f.Message, doc: f.Doc}).answer()
	}
	header := f.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	return answer{status: f.Status, header: header,
		body: []byte("<html><body>" + http.StatusText(f.Status) + "</body></html>")}
}

// Call is a request that the forge was sent.
type Call struct {
	Method, Path string
	Status       int // of the answer; 0 if the connection was broken
}

// Calls returns the requests since the last Forget, in the order in which they were answered.
func (f *Forge) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Writes returns those of Calls that would change something, refused or not.
func (f *Forge) Writes() []Call {
	return slices.DeleteFunc(f.Calls(),
		func(c Call) bool { return c.Method == http.MethodGet || c.Method == http.MethodHead })
}

// Count tells how many of Calls have a method and a path that matches.
func (f *Forge) Count(method string, path *regexp.Regexp) int {
	n := 0
	for _, c := range f.Calls() {
		if c.Method == method && path.MatchString(c.Path) {
			n++
		}
	}
	return n
}

// Forget empties Calls.
func (f *Forge) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.started = nil, 0
}

// hourly is the limit of requests for most tokens.
const hourly = 5000

// rate is what is left of an hour's requests.
// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
type rate struct {
	limit, remaining int
	reset            time.Time // when it starts anew
}

// SetRateLimit says how many requests are left until when.
func (f *Forge) SetRateLimit(remaining int, reset time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate{hourly, remaining, reset}
}
