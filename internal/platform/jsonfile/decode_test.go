package jsonfile_test

import (
	"testing"

	"neuron-kmod/internal/platform/jsonfile"
)

// R8.1: a file that a program wrote says what is wrong with it as well; what it has beyond the structure is left alone.
func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		`{"a": 1, "b": 2}` + "\n": "",
		"":                        "truncated JSON",
		`{"a": 1`:                 "truncated JSON",
		`{"a": 1}{}`:              "text after the JSON object, at byte 9",
		`[]`:                      "not a list of lists",
		`{"a": "1"}`:              "not a list of lists",
		`<html>`:                  "not valid JSON at byte 1: invalid character '<' looking for beginning of value",
	} {
		var into struct{ A int }
		err := jsonfile.Decode([]byte(in), &into, "a list of lists")
		if got := ""; err != nil {
			if got = err.Error(); got != want {
				t.Errorf("%s: %q, want %q", in, got, want)
			}
		} else if want != "" || into.A != 1 {
			t.Errorf("%s: no error and %d, want %q", in, into.A, want)
		}
	}
}
