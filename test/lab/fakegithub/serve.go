package fakegithub

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Where a server of GitHub Enterprise has its parts.
// https://docs.github.com/en/enterprise-server/rest/enterprise-admin
const (
	apiPath     = "/api/v3/"
	uploadsPath = "/api/uploads/"
)

// ServeHTTP implements http.Handler.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := f.begin(r)
	var a answer
	if fault == nil || fault.After || fault.Half {
		a = f.answer(r, fault != nil && fault.Half)
	}
	if fault != nil {
		a = fault.answer()
	}
	a = a.settle(r)
	f.end(r, a.status)
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	a.send(w)
}

// begin counts a request and returns what is to go wrong with it; nil if nothing is.
func (f *Forge) begin(r *http.Request) *Fault {
	f.mu.Lock()
	f.started++
	n, hook := f.started, f.hook
	f.mu.Unlock()
	if hook != nil {
		hook(n, r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.due(r)
}

func (f *Forge) end(r *http.Request, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{r.Method, r.URL.Path, status})
	if status == http.StatusNotModified {
		f.rate.remaining++ // it is not counted
	}
}

// answer finds out which part of the server a request is for. A half upload loses what it has read.
func (f *Forge) answer(r *http.Request, half bool) answer {
	path, uploads := strings.CutPrefix(r.URL.Path, uploadsPath)
	if uploads {
		return f.limited(r, func(c caller) (answer, *refusal) { return f.upload(r, c, path, half) })
	}
	if path, api := strings.CutPrefix(r.URL.Path, apiPath); api {
		return f.limited(r, func(c caller) (answer, *refusal) { return f.api(r, c, path) })
	}
	return f.content(r)
}

// limited lets a request pass if its sender is known, or shows no token, and has requests left in this hour.
func (f *Forge) limited(r *http.Request, do func(caller) (answer, *refusal)) answer {
	f.mu.Lock()
	if !f.now().Before(f.rate.reset) {
		f.rate = rate{f.rate.limit, f.rate.limit, f.now().Add(time.Hour)}
	}
	c, refused := f.authenticate(r)
	switch {
	case f.rate.remaining > 0:
		f.rate.remaining--
	case refused == nil:
		refused = refuse(http.StatusForbidden, "API rate limit exceeded for installation ID 1.")
	}
	left := f.rate
	f.mu.Unlock()

	var a answer
	if refused == nil {
		a, refused = do(c)
	}
	if refused != nil {
		a = refused.answer()
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("X-Ratelimit-Limit", strconv.Itoa(left.limit))
	a.header.Set("X-Ratelimit-Remaining", strconv.Itoa(left.remaining))
	a.header.Set("X-Ratelimit-Used", strconv.Itoa(left.limit-left.remaining))
	a.header.Set("X-Ratelimit-Reset", strconv.FormatInt(left.reset.Unix(), 10))
	a.header.Set("X-Ratelimit-Resource", "core")
	return a
}

// request is what an action is about.
type request struct {
	*http.Request
	caller
	repo *repository
	id   int64  // of a release or an asset; 0 if the path has none
	tag  string // of a release; empty if the path has none
}

// action is what can be asked for.
type action struct {
	need Access
	do   func(*Forge, request) (answer, *refusal)
}

// actions are found by method and form of the path behind the repository's name.
var actions = map[string]action{
	"GET releases":              {Read, (*Forge).listReleases},
	"POST releases":             {Write, (*Forge).createRelease},
	"GET releases/latest":       {Read, (*Forge).latestRelease},
	"GET releases/tags/TAG":     {Read, (*Forge).releaseByTag},
	"GET releases/ID":           {Read, (*Forge).getRelease},
	"PATCH releases/ID":         {Write, (*Forge).updateRelease},
	"DELETE releases/ID":        {Write, (*Forge).deleteRelease},
	"GET releases/ID/assets":    {Read, (*Forge).listAssets},
	"GET releases/assets/ID":    {Read, (*Forge).getAsset},
	"PATCH releases/assets/ID":  {Write, (*Forge).updateAsset},
	"DELETE releases/assets/ID": {Write, (*Forge).deleteAsset},
}

// api answers a request for a path below /api/v3.
func (f *Forge) api(r *http.Request, c caller, path string) (answer, *refusal) {
	name, form, q := parse(path)
	todo, ok := actions[r.Method+" "+form]
	if !ok {
		return answer{}, notFound()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var refused *refusal
	if q.repo, refused = f.enter(c, name, todo.need); refused != nil {
		return answer{}, refused
	}
	q.Request, q.caller = r, c
	return todo.do(f, q)
}

// parse takes repos/OWNER/NAME/REST apart: the repository's name, the form of REST, and the id or tag that is in it.
func parse(path string) (name, form string, q request) {
	parts := strings.Split(path, "/")
	if len(parts) < 4 || parts[0] != "repos" {
		return "", "", request{}
	}
	name, rest := parts[1]+"/"+parts[2], parts[3:]
	for i, part := range rest {
		id, err := strconv.ParseInt(part, 10, 64)
		switch {
		case i == 2 && rest[1] == "tags":
			rest[i], q.tag = "TAG", part
		case i > 0 && err == nil:
			rest[i], q.id = "ID", id
		}
	}
	return name, strings.Join(rest, "/"), q
}
