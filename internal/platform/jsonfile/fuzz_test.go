package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// plain returns v as encoding/json gives values.
func (v Value) plain() any {
	switch v.token {
	case json.Delim('['):
		list := []any{}
		for _, item := range v.items {
			list = append(list, item.plain())
		}
		return list
	case json.Delim('{'):
		object := map[string]any{}
		for _, m := range v.members {
			object[m.key] = m.val.plain()
		}
		return object
	}
	return v.token
}

// FuzzParse: what parses is what encoding/json reads; what does not is no JSON, or refused for a reason that
// is beyond JSON; and every error has a place that is in the file.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `[]`, `{"a":[1,"x",{"b":null}]}`, "[\n true , 1.5e3]", `[1,]`, `{"a":1,"a":2}`, "\ufeff[]", `"\ud800"`,
		`[[[[[[]]]]]]`, `{"a" 1}`, `[4.20.16]`, "[\"a\n\"]", `{"a":1}x`, "\xff", `[//`, `{"":{"":""}}`, `-`, `0x1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse("f", data)
		if err != nil {
			checkError(t, data, err)
			return
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil || !json.Valid(data) {
			t.Fatalf("parsed what is not JSON: %v", err)
		}
		if diff := cmp.Diff(want, v.plain()); diff != "" {
			t.Errorf("differs from encoding/json (-want +got):\n%s", diff)
		}
	})
}

func checkError(t *testing.T, data []byte, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("%T is not an *Error", err)
	}
	lines := strings.Split(string(data), "\n")
	if e.Position.Line < 1 || e.Position.Line > len(lines) || e.Position.Column < 1 || e.Position.Column > utf8.RuneCountInString(lines[e.Position.Line-1])+1 {
		t.Errorf("%v is not in the file", e.Position)
	}
	if e.Msg == "" || len(e.Msg) > 1024 || strings.ContainsAny(e.Msg, "\n\r\x1b") {
		t.Errorf("message is not safe to print: %q", e.Msg)
	}
	beyond := []string{"twice", "inside one another", "not UTF-8", "more than", "larger than"}
	for _, reason := range beyond {
		if strings.Contains(e.Msg, reason) {
			return
		}
	}
	if json.Valid(data) {
		t.Errorf("refused valid JSON: %v", err)
	}
}
