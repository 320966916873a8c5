package module

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
)

const (
	// maxErrorLine bounds a line that is shown to the user.
	maxErrorLine = 500
	// maxLogLine bounds a line that is searched; what is longer is searched up to there.
	maxLogLine = 8 << 10
	// sourceDir is where build-module.sh compiles: its name says nothing to the user.
	sourceDir = "/tmp/neuron-kmod/source/"
)

// causes are lines that say what is wrong: of gcc, of the linker, of modpost, of build-module.sh.
var causes = regexp.MustCompile(`^\S[^:]*:\d+(:\d+)?: (fatal )?[Ee]rror: ` +
	`|^(FATAL|ERROR): ` +
	`|^\S[^:]*:\d+: \*\*\* ` + // make, of a Kbuild file
	`|^(cc1|collect2|(\S*-)?gcc(-\d+)?): (fatal |internal compiler )?error: ` +
	`|: undefined reference to ` +
	`|^(\S*/)?(\S+-)?ld(\.\w+)?: .*\b(error|cannot|undefined|unrecogni[sz]ed|not found|failed|No such)\b` +
	`|^(\S*/)?(build-module\.sh|job\.sh|objtool|strip|depmod|modinfo|ln|cp|mkdir|sh|bash)\b` +
	`.*\b(error|ERROR|FATAL|not found|cannot|can't|Permission denied)\b` +
	`|[Nn]o space left on device` +
	`|\bKilled$|Killed signal terminated program`)

// consequences are lines that only say that something went wrong; they count if no cause is found.
var consequences = regexp.MustCompile(`^make(\[\d+\])?: \*\*\* |^Error: `)

// warnings are lines that are neither, whatever else they say. What -Werror has made an error stands before the
// compiler's last remark on it.
var warnings = regexp.MustCompile(`^\S+ [Ww]arning: |^WARNING: |all warnings being treated as errors$`)

// errorFinder finds the first error of a log that is written to it in pieces of any size. It keeps two lines, however
// long the log.
type errorFinder struct {
	line               []byte
	cause, consequence string
}

func (f *errorFinder) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		piece := rest
		if end >= 0 {
			piece = rest[:end]
		}
		if room := maxLogLine - len(f.line); len(piece) > room {
			piece = piece[:room]
		}
		f.line = append(f.line, piece...)
		if end < 0 {
			break
		}
		f.endLine()
		rest = rest[end+1:]
	}
	return len(p), nil
}

func (f *errorFinder) endLine() {
	line := clean(f.line)
	f.line = f.line[:0]
	switch {
	case warnings.MatchString(line):
	case f.cause == "" && causes.MatchString(line):
		f.cause = line
	case f.consequence == "" && consequences.MatchString(line):
		f.consequence = line
	}
}

// first is the first error of what was written, also of a last line without an end.
func (f *errorFinder) first() string {
	if len(f.line) > 0 {
		f.endLine()
	}
	line := f.cause
	if line == "" {
		line = f.consequence
	}
	if len(line) > maxErrorLine {
		line = strings.ToValidUTF8(line[:maxErrorLine], "") + "..."
	}
	return line
}

// colour is an escape sequence that a compiler puts around its words.
var colour = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// clean makes a line of a log fit for a terminal or an annotation.
func clean(line []byte) string {
	text := colour.ReplaceAllString(strings.ToValidUTF8(string(line), "\uFFFD"), "")
	text = strings.ReplaceAll(strings.TrimSpace(text), sourceDir, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return -1
		}
	}, text)
}
