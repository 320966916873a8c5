package release

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuote bounds a foreign text in the notes, in characters.
const maxQuote = 300

// quote makes foreign text fit for the notes: its first line that says something, not too long, as code.
func quote(s string) string {
	for line := range strings.Lines(s) {
		if line = oneLine(line); line == "" {
			continue
		}
		if utf8.RuneCountInString(line) > maxQuote {
			line = strings.TrimSpace(string([]rune(line)[:maxQuote-1])) + "…"
		}
		return code(line)
	}
	return "no reason is known"
}

// code makes a code span of text: nothing in it can be Markdown, HTML, a mention or a link. The span's quotes are
// longer than any that the text has: https://github.github.com/gfm/#code-spans
func code(s string) string {
	s = oneLine(s)
	ticks := strings.Repeat("`", longestRun(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " " // these two spaces are not part of the code
	}
	return ticks + s + ticks
}

// cell is code for a cell of a table, where a bar would end it even in code.
func cell(s string) string { return code(strings.ReplaceAll(s, "|", "¦")) }

// fence makes a block of code.
func fence(language, text string) string {
	ticks := strings.Repeat("`", max(3, longestRun(text, '`')+1))
	return ticks + language + "\n" + text + ticks + "\n"
}

func longestRun(s string, of rune) int {
	longest, n := 0, 0
	for _, r := range s {
		if r != of {
			n = 0
			continue
		}
		n++
		longest = max(longest, n)
	}
	return longest
}

// oneLine makes every run of characters that print nothing one space, and none at either end. Among them are those that
// turn the direction of writing, with which a text can look like another one. What is not UTF-8 is shown as such.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }),
		" ")
}
