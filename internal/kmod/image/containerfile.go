package image

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"neuron-kmod/container"
)

const (
	maxContainerfile = 1 << 20
	maxValue         = 4 << 10 // bytes of a label or of an expanded value; those of real images stay far below
)

// IsBuiltIn reports whether a Containerfile is the project's own, which [Assemble] knows the form of: a base, files and
// labels. Comments and blank lines do not count.
func IsBuiltIn(containerfile []byte) bool {
	own, err := container.Files.ReadFile("Containerfile")
	return err == nil && withoutComments(containerfile) == withoutComments(own)
}

func withoutComments(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// instruction is one instruction of a Containerfile. Only ARG and FROM are looked into; what the others mean is the
// engine's business.
type instruction struct {
	file string
	line int    // 1-based, where it starts
	end  int    // its last line
	name string // upper case
	text string // all of it, continued lines joined
	rest string // what follows the name
}

// errorf is an error at the instruction.
func (in instruction) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: %w", in.file, in.line, in.name, fmt.Errorf(format, args...))
}

var (
	escapeDirective = regexp.MustCompile("(?i)^#\\s*escape\\s*=\\s*([\\\\`])\\s*$")
	hereDocument    = regexp.MustCompile(`<<-?\s*["']?([A-Za-z_][A-Za-z0-9_]*)["']?`)
)

// parseContainerfile splits text into instructions by the rules of
// https://docs.docker.com/reference/dockerfile/#format: comments and blank lines do not count, also within a continued
// line, and here-documents belong to their instruction.
func parseContainerfile(name string, text []byte) ([]instruction, error) {
	if len(text) > maxContainerfile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxContainerfile)
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%s: not a text file in UTF-8", name)
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	escape := `\`
	if m := escapeDirective.FindStringSubmatch(lines[0]); m != nil {
		escape = m[1]
	}
	var all []instruction
	for n := 0; n < len(lines); n++ {
		if ignorable(lines[n]) {
			continue
		}
		in := instruction{file: name, line: n + 1}
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
		word, rest, _ := strings.Cut(in.text, " ")
		in.name, in.rest = strings.ToUpper(word), strings.TrimSpace(rest)
		if in.name == "RUN" || in.name == "COPY" || in.name == "ADD" {
			for _, m := range hereDocument.FindAllStringSubmatch(in.text, -1) {
				for n++; n < len(lines) && strings.TrimLeft(lines[n], "\t") != m[1]; n++ {
				}
			}
		}
		in.end = min(n+1, len(lines))
		all = append(all, in)
	}
	return all, nil
}

func ignorable(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "#")
}

// variable is $NAME, ${NAME}, ${NAME:-WORD} or ${NAME:+WORD}.
var variable = regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^${}]*))?\})`)

// expand replaces variables in a word and takes its quotes away. What it does not know is an error.
func expand(word string, value func(name string) string) (string, error) {
	if q := word[:min(1, len(word))]; q == `"` || q == "'" {
		if len(word) < 2 || !strings.HasSuffix(word, q) {
			return "", errors.New("a quote is not closed")
		}
		if word = word[1 : len(word)-1]; q == "'" {
			return word, nil
		}
	}
	out := variable.ReplaceAllStringFunc(word, func(text string) string {
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
	if strings.Contains(variable.ReplaceAllString(word, ""), "$") {
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
