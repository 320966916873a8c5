package image

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const maxContainerfile = 1 << 20

// containerfile is a parsed Containerfile.
type containerfile struct {
	name         string
	escape       rune
	instructions []instruction
}

// instruction is one instruction of a Containerfile.
type instruction struct {
	file  string
	line  int    // 1-based, where it starts
	end   int    // its last line
	name  string // upper case
	text  string // as written, continued lines joined
	flags []string
	words []string // what follows the name, not expanded yet; NAME, VALUE, SEPARATOR of each pair for ENV and LABEL
	json  bool     // written as a JSON array
	here  bool     // has a here-document
}

// errorf is an error at the instruction.
func (in instruction) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: %w", in.file, in.line, in.name, fmt.Errorf(format, args...))
}

// needsEngine is the error that the instruction is beyond native assembly.
func (in instruction) needsEngine(format string, args ...any) error {
	return &NeedsEngineError{File: in.file, Line: in.line, Instruction: in.name, Reason: fmt.Sprintf(format, args...)}
}

// parseContainerfile splits text into instructions. It checks form only, not meaning.
func parseContainerfile(name string, text []byte) (*containerfile, error) {
	if name == "" {
		name = "Containerfile"
	}
	if len(text) > maxContainerfile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxContainerfile)
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%s: not a text file in UTF-8", name)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, parseError(name, err)
	}
	cf := &containerfile{name: name, escape: parsed.EscapeToken}
	for _, n := range parsed.AST.Children {
		cf.instructions = append(cf.instructions, newInstruction(name, n))
	}
	return cf, nil
}

func newInstruction(file string, n *parser.Node) instruction {
	in := instruction{
		file:  file,
		line:  n.StartLine,
		end:   n.EndLine,
		name:  strings.ToUpper(n.Value),
		text:  strings.TrimSpace(n.Original),
		flags: n.Flags,
		json:  n.Attributes["json"],
		here:  len(n.Heredocs) > 0,
	}
	for w := n.Next; w != nil; w = w.Next {
		in.words = append(in.words, w.Value)
	}
	return in
}

// parseError gives the parser's error the form of ours, with the line it knows.
func parseError(name string, err error) error {
	line := 0
	var located *parser.LocationError
	if errors.As(err, &located) && len(located.Locations) > 0 && len(located.Locations[0]) > 0 {
		line = located.Locations[0][0].Start.Line
	}
	if line == 0 {
		return fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Errorf("%s:%d: %w", name, line, err)
}

// native are the instructions that [Assemble] carries out itself.
var native = []string{"FROM", "ARG", "LABEL", "ENV", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}

// checkNative returns a *NeedsEngineError for the first thing in the file that
// can be seen, before anything is read or expanded, to be beyond Assemble.
func (cf *containerfile) checkNative() error {
	stages := 0
	for _, in := range cf.instructions {
		switch {
		case !slices.Contains(native, in.name):
			return in.needsEngine("the instruction is not one of %s", strings.Join(native, ", "))
		case in.here:
			return in.needsEngine("it has a here-document")
		case in.name == "FROM":
			if stages++; stages > 1 {
				return in.needsEngine("it begins another stage")
			}
		case in.name == "COPY":
			for _, f := range in.flags {
				if !strings.HasPrefix(f, "--chown=") && !strings.HasPrefix(f, "--chmod=") {
					return in.needsEngine("flag %s", f)
				}
			}
		case len(in.flags) > 0:
			return in.errorf("unknown flag %s", in.flags[0])
		}
	}
	return nil
}
