package fakegithub

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// answer is what a request gets.
type answer struct {
	status int
	header http.Header
	value  any    // to be sent as JSON; nil if there is none
	body   []byte // what is sent
}

// refusal is an answer that says no, as GitHub words it.
// https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
type refusal struct {
	status  int
	header  http.Header
	message string
	errors  []invalid
	doc     string
}

// invalid says what is wrong with one field of a request.
type invalid struct {
	Resource string `json:"resource"`
	Code     string `json:"code"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message,omitempty"`
}

const docs = "https://docs.github.com/rest"

func refuse(status int, message string) *refusal { return &refusal{status: status, message: message} }

func notFound() *refusal { return refuse(http.StatusNotFound, "Not Found") }

func unprocessable(why ...invalid) *refusal {
	return &refusal{status: http.StatusUnprocessableEntity, message: "Validation Failed", errors: why}
}

func (r *refusal) answer() answer {
	doc := r.doc
	if doc == "" {
		doc = docs
	}
	return answer{status: r.status, header: r.header.Clone(), value: struct {
		Message string    `json:"message"`
		Errors  []invalid `json:"errors,omitempty"`
		Doc     string    `json:"documentation_url"`
		Status  string    `json:"status"`
	}{r.message, r.errors, doc, strconv.Itoa(r.status)}}
}

// settle makes what is sent of a. One to a GET has an ETag, and says no more than "not modified" to who has it already.
func (a answer) settle(r *http.Request) answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	if a.value == nil {
		return a
	}
	body, err := json.Marshal(a.value)
	if err != nil {
		return answer{status: http.StatusInternalServerError, header: a.header, body: []byte(err.Error())}
	}
	a.header.Set("Content-Type", "application/json; charset=utf-8")
	if tag := fmt.Sprintf(`W/"%x"`, sha256.Sum256(body)); a.status == http.StatusOK && r.Method == http.MethodGet {
		a.header.Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			return answer{status: http.StatusNotModified, header: a.header}
		}
	}
	a.body = body
	return a
}

func (a answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// Sizes of a page of a list.
const (
	defaultPage = 30
	maxPage     = 100
)

// page cuts out of all what per_page and page of r ask for, and makes the Link header.
// https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
func page[T any](r *http.Request, all []T) answer {
	query := r.URL.Query()
	size := min(maxPage, atLeastOne(query.Get("per_page"), defaultPage))
	at := atLeastOne(query.Get("page"), 1)
	last := max(1, (len(all)+size-1)/size)
	first := min((at-1)*size, len(all))
	out := answer{status: http.StatusOK, header: http.Header{}, value: all[first:min(first+size, len(all))]}

	var links []string
	link := func(rel string, n int) {
		query.Set("page", strconv.Itoa(n))
		u := url.URL{Scheme: scheme(r), Host: r.Host, Path: r.URL.Path, RawQuery: query.Encode()}
		links = append(links, fmt.Sprintf(`<%s>; rel="%s"`, &u, rel))
	}
	if at > 1 {
		link("prev", at-1)
	}
	if at < last {
		link("next", at+1)
		link("last", last)
	}
	if at > 1 {
		link("first", 1)
	}
	if len(links) > 0 {
		out.header.Set("Link", strings.Join(links, ", "))
	}
	return out
}

func atLeastOne(text string, other int) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 {
		return n
	}
	return other
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
