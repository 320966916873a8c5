package fakeaws

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds a request. None of the actions here needs more than an identity token and a few names.
const maxBody = 64 << 10

// request is an action that somebody asks for, after the signature was found good.
type request struct {
	from   *principal // nil if the action is not signed
	region string
	form   url.Values // of the Query protocol
	body   []byte     // of the JSON protocol
}

// fault is a refusal.
type fault struct {
	status        int
	code, message string
}

// invalid is a refusal of what was asked for, whoever asks.
func invalid(code, message string) *fault { return &fault{http.StatusBadRequest, code, message} }

// service is one of AWS's services: its name in signatures and policies, its actions and how it speaks.
type service struct {
	name    string
	actions map[string]action
	faults  faults
	answer  func(w http.ResponseWriter, action string, out any)
	refuse  func(w http.ResponseWriter, f *fault)
}

// action returns what is to be answered.
type action struct {
	do       func(*Cloud, request) (any, *fault)
	unsigned bool
}

// faults are what a service says of signatures. Each protocol has its own codes for the same thing.
type faults struct {
	noSignature, unknownKey, expired *fault
	malformed, noAction              string // codes
	signature                        func(message string) *fault
}

// API serves STS, ECR and ECR Public, of every region, at one address: the one to put into AWS_ENDPOINT_URL.
func (c *Cloud) API() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The SDK corrects its own clock by this header.
		w.Header().Set("Date", c.now().UTC().Format(http.TimeFormat))
		w.Header().Set("X-Amzn-Requestid", rand.Text())
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		s, name, form := dispatch(r, body)
		c.serve(w, r, s, name, request{form: form, body: body})
	})
}

// dispatch finds the service and the action that r is for: JSON requests have both in a header, requests of the Query
// protocol, which are all for STS, in the form.
func dispatch(r *http.Request, body []byte) (service, string, url.Values) {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, name, _ := strings.Cut(target, ".")
		switch prefix {
		case "SpencerFrontendService":
			return ecrPublicService(), name, nil
		case "AmazonEC2ContainerRegistry_V20150921":
			return ecrService(), name, nil
		}
		return ecrService(), "", nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Version") != stsVersion {
		return stsService(), "", nil
	}
	return stsService(), form.Get("Action"), form
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request, s service, name string, q request) {
	call := Call{Action: s.name + ":" + name}
	todo, ok := s.actions[name]
	refusal := invalid(s.faults.noAction, "Could not find operation "+name)
	var out any
	if ok && r.Method == http.MethodPost && r.URL.Path == "/" {
		refusal = nil
		if !todo.unsigned {
			q.from, q.region, refusal = c.authenticate(r, q.body, s)
			call.Region = q.region
		}
		if q.from != nil {
			call.Principal = q.from.arn
		}
		if refusal == nil {
			out, refusal = todo.do(c, q)
		}
	}
	if refusal != nil {
		call.Error = refusal.code
		c.record(call)
		s.refuse(w, refusal)
		return
	}
	c.record(call)
	s.answer(w, name, out)
}

// jsonFaults are those of the JSON protocol.
func jsonFaults() faults {
	const invalidToken = "The security token included in the request is invalid."
	return faults{
		noSignature: invalid("MissingAuthenticationTokenException", "Missing Authentication Token"),
		unknownKey:  invalid("UnrecognizedClientException", invalidToken),
		expired:     invalid("ExpiredTokenException", "The security token included in the request is expired"),
		malformed:   "IncompleteSignatureException",
		noAction:    "UnknownOperationException",
		signature:   func(message string) *fault { return invalid("InvalidSignatureException", message) },
	}
}

// queryFaults are those of the Query protocol.
func queryFaults() faults {
	forbidden := func(code, message string) *fault { return &fault{http.StatusForbidden, code, message} }
	return faults{
		noSignature: forbidden("MissingAuthenticationToken", "Request is missing Authentication Token"),
		unknownKey:  forbidden("InvalidClientTokenId", "The security token included in the request is invalid."),
		expired:     forbidden("ExpiredToken", "The security token included in the request is expired"),
		malformed:   "IncompleteSignature",
		noAction:    "InvalidAction",
		signature:   func(message string) *fault { return forbidden("SignatureDoesNotMatch", message) },
	}
}

// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
func answerJSON(w http.ResponseWriter, _ string, out any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}

func refuseJSON(w http.ResponseWriter, f *fault) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": f.code, "message": f.message})
}

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/" + stsVersion + "/"
)

// answerXML writes out, whose XMLName is that of the action's result, as the Query protocol wraps it.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func answerXML(w http.ResponseWriter, action string, out any) {
	w.Header().Set("Content-Type", "text/xml")
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName   xml.Name
		Result    any
		RequestID string `xml:"ResponseMetadata>RequestId"`
	}{xml.Name{Space: stsNamespace, Local: action + "Response"}, out, w.Header().Get("X-Amzn-Requestid")})
}

func refuseXML(w http.ResponseWriter, f *fault) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(f.status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}{Type: "Sender", Code: f.code, Message: f.message, RequestID: w.Header().Get("X-Amzn-Requestid")})
}
