package image

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// R5.3: which image has to be resolved is the Containerfile's to say.
func TestBaseReference(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"plain":                {"FROM a:1", "a:1"},
		"default of an ARG":    {"ARG B=b:2\nFROM $B", "b:2"},
		"argument":             {"ARG G=b:2\nFROM $G", "given"},
		"last stage":           {"FROM a AS x\nRUN y\nFROM c", "c"},
		"stage on a stage":     {"FROM a AS x\nFROM b AS y\nFROM X AS z\nFROM z", "a"},
		"ARG inside a stage":   {"ARG B=b\nFROM a\nARG B=c\nFROM $B", "b"},
		"tabs":                 {"ARG\tB=b\nFROM\t$B\tAS\tx", "b"},
		"quoted":               {"ARG B=\"a b\" C='$c' D=\"d\"\nFROM \"$D\"", "d"},
		"a mark at the start":  {"\ufeffFROM a", "a"},
		"here-document":        {"FROM a\nRUN <<E cat << 'F' <<-G\nFROM b\nE\nFROM b\nF\n\tG\n", "a"},
		"of an ONBUILD":        {"FROM a\nONBUILD RUN <<E\nFROM b\nE", "a"},
		"a shell's own signs":  {"FROM a AS x\nRUN cat <<<E; echo $((1<<E)) \"<<E\"\nRUN [\"<<E\"]\nFROM b", "b"},
		"open here-document":   {"FROM a\nRUN <<E\nFROM b", ""},
		"ends without a dash":  {"FROM a\nRUN <<E\nFROM b\n\tE", ""},
		"quotes in a word":     {"ARG B=b\nFROM a\"$B\"", ""},
		"an escape":            {"FROM a\\$B", ""},
		"error":                {"FROM", ""},
		"instruction too soon": {"RUN x\nFROM a", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := BaseReference([]byte(tt.text), map[string]string{"G": "given"})
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("BaseReference = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// Decision 5: an engine reads the file with every FROM spelled out, and names
// the lines that a person sees.
func TestLiteralFrom(t *testing.T) {
	text := `ARG B=b
FROM --platform=$TARGETPLATFORM \
  # which base
  ${B}:1 \
  AS one
RUN <<E
FROM $B
E
FROM one
COPY --from=one /a /b
from ${B}`
	want := `ARG B=b
FROM --platform=$TARGETPLATFORM b:1 AS one



RUN <<E
FROM $B
E
FROM one
COPY --from=one /a /b
FROM b`
	stages, err := parseStages([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(literalFrom([]byte(text), stages))); diff != "" {
		t.Error(diff)
	}
}
