package image

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"neuron-kmod/container"
)

const (
	fileName         = "Containerfile" // how errors call it, whatever its directory
	maxContainerfile = 1 << 20
	maxValue         = 4 << 10 // bytes of a label or of an expanded value; those of real images stay far below
)

// IsBuiltIn reports whether a Containerfile is the project's own, which [Assemble] knows the form of: a base, files and
// labels. Comments and blank lines do not count.
func IsBuiltIn(containerfile []byte) bool {
	own, err := container.Files.ReadFile(fileName)
	if err != nil {
		return false
	}
	want, err := parseContainerfile(own)
	if err != nil {
		return false
	}
	got, err := parseContainerfile(containerfile)
	return err == nil && slices.EqualFunc(got, want, func(a, b instruction) bool { return a.text == b.text })
}

// instruction is one instruction of a Containerfile. Only ARG and FROM are read; what the others mean is the
// engine's business.
type instruction struct {
	line int    // 1-based, where it starts
	end  int    // its last line
	name string // upper case
	text string // all of it, continued lines joined
	rest string // what follows the name
}

// errorf is an error at the instruction.
func (in instruction) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: %w", fileName, in.line, in.name, fmt.Errorf(format, args...))
}

var (
	escapeDirective = regexp.MustCompile("(?i)^#\\s*escape\\s*=\\s*([\\\\`])\\s*$")
	// wordPattern is a word with its quotes; a quote that is not closed ends with the word.
	wordPattern = regexp.MustCompile(`(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*'|["'\\])+`)
	// hereDocument is a word: a shell's <<<TEXT and $((1<<N)) are none.
	hereDocument = regexp.MustCompile(`^[0-9]*<<(-?)["']?([^-<"'][^<"']*)["']?$`)
)

// words are what follows the name, split at blanks outside quotes.
func (in instruction) words() []string { return wordPattern.FindAllString(in.rest, -1) }

// parseContainerfile splits text into instructions by the rules of
// https://docs.docker.com/reference/dockerfile/#format: comments and blank lines do not count, also within a continued
// line, and here-documents belong to their instruction.
func parseContainerfile(text []byte) ([]instruction, error) {
	if len(text) > maxContainerfile {
		return nil, fmt.Errorf("%s: larger than %d bytes", fileName, maxContainerfile)
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%s: not a text file in UTF-8", fileName)
	}
	plain := strings.TrimPrefix(string(text), "\ufeff")
	lines := strings.Split(strings.ReplaceAll(plain, "\r\n", "\n"), "\n")
	escape := `\`
	if m := escapeDirective.FindStringSubmatch(lines[0]); m != nil {
		escape = m[1]
	}
	var all []instruction
	for n := 0; n < len(lines); n++ {
		if ignorable(lines[n]) {
			continue
		}
		in := instruction{line: n + 1}
		joined := strings.TrimLeft(lines[n], " \t")
		for strings.HasSuffix(strings.TrimRight(joined, " \t"), escape) {
			joined = strings.TrimSuffix(strings.TrimRight(joined, " \t"), escape)
			for n++; n < len(lines) && ignorable(lines[n]); n++ {
			}
			if n >= len(lines) {
				break
			}
			joined += lines[n]
		}
		in.text = strings.TrimSpace(joined)
		word := in.text
		if end := strings.IndexAny(word, " \t"); end >= 0 {
			word = word[:end]
		}
		in.name, in.rest = strings.ToUpper(word), strings.TrimSpace(in.text[len(word):])
		var err error
		if n, err = skipHereDocuments(in, lines, n); err != nil {
			return nil, err
		}
		in.end = min(n+1, len(lines))
		all = append(all, in)
	}
	return all, nil
}

// skipHereDocuments returns the last line of an instruction whose own text ends at line n.
func skipHereDocuments(in instruction, lines []string, n int) (int, error) {
	if !slices.Contains([]string{"RUN", "COPY", "ADD", "ONBUILD"}, in.name) {
		return n, nil
	}
	words := in.words()
	for i, word := range words {
		if strings.HasSuffix(word, "<<") && i+1 < len(words) {
			word += words[i+1]
		}
		m := hereDocument.FindStringSubmatch(word)
		if m == nil {
			continue
		}
		dash, end := m[1], m[2]
		for n++; ; n++ {
			if n >= len(lines) {
				return n, in.errorf("the here-document %s is not closed", end)
			}
			if lines[n] == end || dash != "" && strings.TrimLeft(lines[n], "\t") == end {
				break
			}
		}
	}
	return n, nil
}

func ignorable(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "#")
}

// variable is $NAME, ${NAME}, ${NAME:-WORD} or ${NAME:+WORD}.
var variable = regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^${}]*))?\})`)

// expand replaces variables in a word and takes the quotes around it away. What it does not know is an error: quotes
// within a word, escapes, and other forms of variables.
func expand(word string, value func(name string) string) (string, error) {
	plain, special := word, "\"'\\"
	quote := word[:min(1, len(word))]
	if quote == `"` || quote == "'" {
		if len(word) < 2 || !strings.HasSuffix(word, quote) {
			return "", errors.New("a quote is not closed")
		}
		plain, special = word[1:len(word)-1], quote+`\`
	}
	if strings.ContainsAny(plain, special) {
		return "", fmt.Errorf("%q is not a form of word that can be read here", word)
	}
	if quote == "'" {
		return plain, checkValue(plain)
	}
	out := variable.ReplaceAllStringFunc(plain, func(text string) string {
		m := variable.FindStringSubmatch(text)
		v := value(m[1] + m[2])
		switch {
		case m[3] == "-" && v == "":
			return m[4]
		case m[3] == "+" && v != "":
			return m[4]
		case m[3] == "+":
			return ""
		}
		return v
	})
	if strings.Contains(variable.ReplaceAllString(plain, ""), "$") {
		return "", fmt.Errorf("%q is not a form of variable that can be read here", word)
	}
	return out, checkValue(out)
}

func checkValue(v string) error {
	if len(v) > maxValue {
		return fmt.Errorf("a value of %d bytes is longer than %d", len(v), maxValue)
	}
	if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return fmt.Errorf("value %q is not text in UTF-8", v)
	}
	return nil
}
