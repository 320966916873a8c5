package release

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"neuron-kmod/internal/plan"
)

func TestQuote(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain", "`plain`"},
		{"\n \n  second line \r\nthird", "`second line`"},
		{"a `b` c", "``a `b` c``"},
		{"``a``", "``` ``a`` ```"},
		{"tab\tbell\abidi\u202ezero\u200bline\u2028end", "`tab bell bidi zero line end`"},
		{"bad \xff byte", "`bad \uFFFD byte`"},
		{"", "no reason is known"},
		{" \n\u200b\n", "no reason is known"},
		{strings.Repeat("é", maxQuote), "`" + strings.Repeat("é", maxQuote) + "`"},
		{strings.Repeat("é", maxQuote+1), "`" + strings.Repeat("é", maxQuote-1) + "…`"},
	}
	for _, tt := range tests {
		if got := quote(tt.in); got != tt.want {
			t.Errorf("quote(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// outline is the structure of a text in GitHub's Markdown: each node by its kind, with the text of code spans and blocks.
func outline(source string) []string {
	parser := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()
	var lines []string
	depth := 0
	_ = ast.Walk(parser.Parse(text.NewReader([]byte(source))), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			depth--
			return ast.WalkContinue, nil
		}
		line := fmt.Sprintf("%*s%s", depth, "", n.Kind())
		depth++
		switch n := n.(type) {
		case *ast.CodeSpan:
			var code strings.Builder
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				code.Write(c.(*ast.Text).Value([]byte(source)))
			}
			lines = append(lines, line+" "+code.String())
			depth--
			return ast.WalkSkipChildren, nil
		case *ast.FencedCodeBlock:
			line += " " + string(n.Lines().Value([]byte(source)))
		case *ast.Text:
			line += " " + string(n.Value([]byte(source)))
		}
		lines = append(lines, line)
		return ast.WalkContinue, nil
	}) // the walker above returns no error
	return lines
}

// foreign are the texts that come from outside, and can be anything.
type foreign struct{ repository, failure, reason, digest, busyBox string }

func (f foreign) notes(t testing.TB) string {
	t.Helper()
	failed := withError(build(t, el9_5, plan.Failed, "4.20.4"), f.failure)
	published := build(t, el9_6, plan.Published, "4.20.5")
	published.Digest = f.digest
	in := notesInput(t, failed, published)
	in.Repository, in.BusyBox = f.repository, []string{f.busyBox}
	in.Plan = in.Plan.With(nil, plan.Unresolved{Release: mustReleases(t, "4.20.6")[0], Reason: f.reason})
	n, err := newNotes(in)
	if err != nil {
		t.Fatal(err)
	}
	return n.render(true)
}

// FuzzNotes feeds what comes from outside: whatever it is, to a parser of GitHub's Markdown the notes have the structure of
// harmless ones, with the text in the place of the harmless text, as code.
func FuzzNotes(f *testing.F) {
	for _, seed := range []string{
		"x", "a `b` ``c`` d", "`", "``", "` x", "|", `\|`, `\`, "`|`", "<b>html</b>", "<!--", "<script>", "@me #1 GH-1", "https://x.example", "![x](y)",
		"# h", "- l\n- m", "1. x", "```\n# h\n```", "~~~", "\n\n## h", "a\r\n\r\nb", "[x]: y", "&lt;", "\x00", "\u202e", "\xff", strings.Repeat("`x", 400), "$KERNEL", `"`, ": ",
	} {
		f.Add(seed)
	}
	harmless := foreign{"HARMLESS1", "HARMLESS2", "HARMLESS3", "HARMLESS4", "HARMLESS5"}
	want := strings.Join(outline(harmless.notes(f)), "\n")
	for i := 1; i <= 5; i++ {
		if !strings.Contains(want, fmt.Sprintf("HARMLESS%d", i)) {
			f.Fatalf("text %d is not in the notes", i)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if oneLine(s) == "" {
			return // other words stand there; see TestQuote
		}
		one := oneLine(s)
		got := strings.Join(outline(foreign{s, s, s, s, s}.notes(t)), "\n")
		cell := strings.ReplaceAll(one, "|", "¦")
		yaml := strings.ReplaceAll(strings.ReplaceAll(one, `\`, `\\`), `"`, `\"`)
		expected := strings.NewReplacer(
			BusyBoxFile("HARMLESS5"), oneLine(BusyBoxFile(s)), `"HARMLESS1`, `"`+yaml, "HARMLESS1", one, "HARMLESS2", quoted(s), "HARMLESS3", quoted(s), "HARMLESS4", cell, "HARMLESS5", one,
		).Replace(want)
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%q changes the notes:\n%s", s, diff)
		}
	})
}

// quoted is what quote shows of a text, without the marks.
func quoted(s string) string {
	marked := quote(s)
	marks := len(marked) - len(strings.TrimLeft(marked, "`"))
	inner := marked[marks : len(marked)-marks]
	if len(inner) > 2 && inner[0] == ' ' {
		inner = inner[1 : len(inner)-1]
	}
	return inner
}
