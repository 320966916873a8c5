package jsonfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"neuron-kmod/internal/platform/jsonfile"
)

// R2.1, R8.1: a file that is not right gives file, line, column and the mend.
func TestParseErrors(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"empty":                 {"", "f:1:1: the file is empty: write it or fetch it again"},
		"blank":                 {" \n\t\r\n", "f:1:1: the file is empty"},
		"byte order mark":       {"\ufeff[]", "f:1:1: the file starts with a byte order mark: save it as UTF-8 without one"},
		"UTF-16":                {"\xff\xfe[\x00]\x00", "f:1:1: the byte 0xff is not UTF-8: save the file as UTF-8"},
		"invalid UTF-8":         {"[\n \"ä\xe4\"]", "f:2:4: the byte 0xe4 is not UTF-8"},
		"trailing comma, list":  {"[\n  1,\n]", `f:3:1: unexpected "]": take out the comma before it`},
		"trailing comma":        {"{\"a\": 1, }", `f:1:10: unexpected "}": take out the comma before it`},
		"two commas":            {"[1,,2]", `f:1:4: unexpected ",": a value belongs here`},
		"leading comma":         {"[,1]", `f:1:2: unexpected ",": a value belongs here`},
		"missing comma":         {"[\n\"4.20\"\n\"4.21\"]", `f:3:1: unexpected "\"": a comma is missing before it, or a "]"`},
		"missing comma, object": {"{\"a\":1 \"b\":2}", `f:1:8: unexpected "\"": a comma is missing before it, or a "}"`},
		"missing comma, nested": {"[{} {}]", `f:1:5: unexpected "{": a comma is missing before it`},
		"missing colon":         {"{\"a\" 1}", `f:1:6: unexpected "1": a colon is missing before it`},
		"missing value":         {"{\"a\":}", `f:1:6: unexpected "}": a value belongs here`},
		"missing bracket":       {"[{\"a\":1]", `f:1:8: unexpected "]": a comma is missing before it, or a "}"`},
		"bare key":              {"{a: 1}", `f:1:2: unexpected "a": a key in double quotes belongs here`},
		"second key bare":       {"{\"a\":1,\n b:2}", `f:2:2: unexpected "b": a key in double quotes belongs here`},
		"number as key":         {"{1:2}", `f:1:2: unexpected "1": a key in double quotes belongs here`},
		"single quotes":         {"['a']", `f:1:2: unexpected "'": a text stands in plain double quotes (")`},
		"typographic quotes":    {"[“a”]", `f:1:2: unexpected "“": a text stands in plain double quotes (")`},
		"line comment":          {"[ // x\n]", `f:1:3: unexpected "/": JSON has no comments, take it out`},
		"hash comment":          {"# x\n[]", `f:1:1: unexpected "#": JSON has no comments, take it out`},
		"bare version":          {"[4.20.16]", `f:1:6: unexpected ".": put the whole value in double quotes`},
		"bare word":             {"[True]", `f:1:2: unexpected "T": a value belongs here, a text in double quotes`},
		"broken word":           {"[nul]", `f:1:2: unexpected "n": a value belongs here`},
		"control character":     {"[\x00]", `f:1:2: unexpected "\x00": a value belongs here`},
		"open text":             {"[\"4.20,\n\"4.21\"]", "f:1:2: the text that starts here is not right (invalid character '\\n' in string literal): close it"},
		"bad escape":            {`["a\x"]`, "f:1:2: the text that starts here is not right (invalid character 'x' in string escape code)"},
		"key with bad escape":   {`{"a\x":1}`, "f:1:2: the text that starts here is not right"},
		"cut after bracket":     {"[", "f:1:2: the file ends inside a list that starts in line 1, column 1: complete it or fetch it again"},
		"cut in text":           {"[\n {\"dri", "f:2:7: the file ends inside an object that starts in line 2, column 2"},
		"cut after comma":       {"[\n 1,\n", "f:3:1: the file ends inside a list that starts in line 1, column 1"},
		"cut after key":         {"{\"a\"", "f:1:5: the file ends inside an object"},
		"cut after colon":       {"{\"a\":", "f:1:6: the file ends inside an object"},
		"cut in word":           {"tru", "f:1:4: the file ends inside a value"},
		"key twice":             {"{\"a\":1,\n \"b\":2,\n \"a\":3}", `f:3:2: the key "a" is here twice, first in line 1: take one out`},
		"key twice, escaped":    {`{"a":1,"\u0061":2}`, `f:1:8: the key "a" is here twice`},
		"second value":          {"[]\n[]", "f:2:1: there is more after the end of the value: take it out"},
		"text after the end":    {"[] x", "f:1:4: there is more after the end"},
		"bracket after the end": {"[\n]]", "f:2:2: there is more after the end"},
		"only a bracket":        {"]", `f:1:1: unexpected "]": a value belongs here`},
		"too deep":              {strings.Repeat("[", 33), "f:1:33: more than 32 lists and objects inside one another"},
		"far too deep":          {strings.Repeat(`{"a":`, 1<<20), "more than 32 lists and objects"},
		"too many values":       {"[" + strings.Repeat("0,", 1<<17) + "0]", "f:1:262144: more than 131072 values"},
		"too large":             {"[" + strings.Repeat(" ", 16<<20), "f:1:1: the file is larger than 16 MiB"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := jsonfile.Parse("f", []byte(tt.in))
			wantError(t, err, tt.want)
		})
	}
}

// wantError checks that err is an *Error whose text holds want.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if _, ok := errors.AsType[*jsonfile.Error](err); !ok {
		t.Errorf("%T is not a *jsonfile.Error", err)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error\n  %s\ndoes not hold\n  %s", err, want)
	}
}

func TestParseDeepest(t *testing.T) {
	if _, err := jsonfile.Parse("f", []byte(strings.Repeat("[", 32)+strings.Repeat("]", 32))); err != nil {
		t.Error(err)
	}
}

const sample = "[\n" +
	"  {\"näme\": \"é\", \"list\": [\"x\",\n" +
	"      true]}\r\n" +
	", null, 12.50, {}]\n"

// R8.1: every value knows its place; columns count characters.
func TestPositions(t *testing.T) {
	root, err := jsonfile.Parse("dir/f.json", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	top, err := root.List("things")
	if err != nil {
		t.Fatal(err)
	}
	obj, err := top[0].Object("näme", "list")
	if err != nil {
		t.Fatal(err)
	}
	name, err := obj.Get("näme")
	if err != nil {
		t.Fatal(err)
	}
	list, ok := obj.Lookup("list")
	if !ok {
		t.Fatal("no list")
	}
	items, err := list.List("words")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, want string
		pos        jsonfile.Position
	}{
		{"root", "dir/f.json:1:1", root.Pos},
		{"object", "dir/f.json:2:3", obj.Pos},
		{"name", "dir/f.json:2:12", name.Pos},
		{"list", "dir/f.json:2:25", list.Pos},
		{"first item", "dir/f.json:2:26", items[0].Pos},
		{"second item", "dir/f.json:3:7", items[1].Pos},
		{"null", "dir/f.json:4:3", top[1].Pos},
		{"number", "dir/f.json:4:9", top[2].Pos},
		{"empty object", "dir/f.json:4:16", top[3].Pos},
	} {
		if got := tt.pos.String(); got != tt.want {
			t.Errorf("%s is at %s, want %s", tt.what, got, tt.want)
		}
	}
	if s, err := name.Text(); s != "é" || err != nil {
		t.Errorf("name = %q, %v", s, err)
	}
}

// R2.1: a value of the wrong kind says what it is and what belongs there.
func TestWrongKinds(t *testing.T) {
	text := func(v jsonfile.Value) error { _, err := v.Text(); return err }
	truth := func(v jsonfile.Value) error { _, err := v.Bool(); return err }
	list := func(v jsonfile.Value) error { _, err := v.List("drivers"); return err }
	object := func(v jsonfile.Value) error { _, err := v.Object("driver", "ocp_versions"); return err }
	tests := []struct {
		in   string
		read func(jsonfile.Value) error
		want string
	}{
		{"4.20", text, "f:1:1: found the number 4.20 where a text belongs: put it in double quotes"},
		{"null", text, "f:1:1: found null where a text in double quotes belongs"},
		{"false", text, "f:1:1: found false where a text"},
		{"[]", text, "f:1:1: found a list where a text"},
		{"{}", text, "f:1:1: found an object where a text"},
		{"1" + strings.Repeat("0", 1000), text, "found the number 1" + strings.Repeat("0", 59) + "... where"},
		{`"true"`, truth, `f:1:1: found the text "true" where true or false belongs: write it without quotes`},
		{"1", truth, "f:1:1: found the number 1 where true or false"},
		{"null", truth, "f:1:1: found null where true or false"},
		{`"x"`, list, `f:1:1: found the text "x" where a list of drivers in [ ] belongs`},
		{"7", list, "f:1:1: found the number 7 where a list"},
		{"{}", list, "f:1:1: found an object where a list"},
		{"[ ]", list, "f:1:1: the list of drivers is empty: add at least one"},
		{"[]", object, "f:1:1: found a list where an object in { } belongs"},
		{"{\"driver\": 1,\n  \"ocp_version\": 1}", object, `f:2:3: unknown key "ocp_version": the keys are driver, ocp_versions`},
		{`{"Driver": 1}`, object, `f:1:2: unknown key "Driver"`},
		{`{"a\n\u202eb": 1}`, object, `f:1:2: unknown key "a\n\u202eb"`},
	}
	for _, tt := range tests {
		v, err := jsonfile.Parse("f", []byte(tt.in))
		if err != nil {
			t.Fatalf("%s: %v", tt.in, err)
		}
		wantError(t, tt.read(v), tt.want)
	}
}

func TestGetMissing(t *testing.T) {
	v, err := jsonfile.Parse("f", []byte("\n {\"a\": 1}"))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := v.Object("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	_, err = obj.Get("b")
	wantError(t, err, `f:2:2: the key "b" is missing: add it to the object that starts here`)
	if _, ok := obj.Lookup("b"); ok {
		t.Error("Lookup found a key that is not there")
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.json")
	if _, err := jsonfile.ReadFile(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := jsonfile.ReadFile(t.TempDir()); err == nil {
		t.Error("a directory: no error")
	}
	if err := os.WriteFile(path, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := jsonfile.ReadFile(path); string(data) != "[]" || err != nil {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
}

// R9.2: a file of any size takes bounded memory.
func TestReadFileBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.json")
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<30); err != nil { // sparse: takes no space
		t.Fatal(err)
	}
	data, err := jsonfile.ReadFile(path)
	wantError(t, err, path+":1:1: the file is larger than 16 MiB")
	if len(data) > jsonfile.MaxSize+1 {
		t.Errorf("read %d bytes", len(data))
	}
}
