package image

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	lexer "github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Values that grow by naming each other (ENV A=$A$A ...) end here. Labels and
// variables of real images stay far below.
const (
	maxWord  = 16 << 10 // bytes of one word before expansion
	maxValue = 4 << 10  // bytes after it
)

// target are the ARGs that every engine predefines for the image's platform.
var target = map[string]string{
	"TARGETPLATFORM": imageOS + "/" + imageArch,
	"TARGETOS":       imageOS,
	"TARGETARCH":     imageArch,
	"TARGETVARIANT":  "",
}

// scope holds the variables at one place of a Containerfile. The rules are
// those of https://docs.docker.com/reference/dockerfile/#arg: an ARG before FROM is
// seen by FROM only, until the stage declares it again; a value given from
// outside wins over a default; an ENV wins over an ARG.
type scope struct {
	lex    *lexer.Lex
	given  map[string]string // --build-arg
	global map[string]string // ARGs before FROM
	args   map[string]string // ARGs of the stage; nil before FROM
	env    []string          // NAME=VALUE of the stage, the base image's included
}

func newScope(escape rune, given map[string]string) *scope {
	return &scope{lex: lexer.NewLex(escape), given: given, global: maps.Clone(target)}
}

// begin starts the stage, with the environment of its base image.
func (s *scope) begin(env []string) {
	s.args = map[string]string{}
	s.env = slices.Clone(env)
}

// Get is the value of a variable, for the expansion of $NAME.
func (s *scope) Get(name string) (string, bool) {
	if s.args == nil {
		v, ok := s.global[name]
		return v, ok
	}
	for _, e := range s.env {
		if k, v, _ := strings.Cut(e, "="); k == name {
			return v, true
		}
	}
	v, ok := s.args[name]
	return v, ok
}

// Keys are the names that Get knows, sorted.
func (s *scope) Keys() []string {
	known := s.global
	if s.args != nil {
		known = maps.Clone(s.args)
		for _, e := range s.env {
			k, v, _ := strings.Cut(e, "=")
			known[k] = v
		}
	}
	return slices.Sorted(maps.Keys(known))
}

// expand replaces variables in word and takes its quotes away.
func (s *scope) expand(in instruction, word string) (string, error) {
	if len(word) > maxWord {
		return "", in.errorf("a word of %d bytes is longer than %d", len(word), maxWord)
	}
	v, _, err := s.lex.ProcessWord(word, s)
	if err != nil {
		return "", in.errorf("%w", err)
	}
	if err := checkValue(v); err != nil {
		return "", in.errorf("%w", err)
	}
	return v, nil
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

// declare carries out ARG NAME, ARG NAME=DEFAULT, or several of them.
func (s *scope) declare(in instruction) error {
	if len(in.words) == 0 {
		return in.errorf("wants NAME or NAME=DEFAULT")
	}
	for _, w := range in.words {
		name, def, hasDefault := strings.Cut(w, "=")
		if name == "" || strings.ContainsAny(name, "$\"' ") {
			return in.errorf("%q is no variable name", name)
		}
		if err := s.declareOne(in, name, def, hasDefault); err != nil {
			return err
		}
	}
	return nil
}

func (s *scope) declareOne(in instruction, name, def string, hasDefault bool) (err error) {
	value, set := s.given[name]
	if set {
		if err := checkValue(value); err != nil {
			return in.errorf("build argument %s: %w", name, err)
		}
	} else if hasDefault {
		set = true
		if value, err = s.expand(in, def); err != nil {
			return err
		}
	}
	switch {
	case s.args == nil && set:
		s.global[name] = value
	case s.args == nil:
		// An ARG without a value says only that FROM may name it.
	case set:
		s.args[name] = value
	case strings.HasPrefix(name, "BUILD") && slices.Contains(buildHost, name):
		return in.needsEngine("%s tells about the machine that builds", name)
	default:
		if value, ok := s.global[name]; ok {
			s.args[name] = value
		}
	}
	return nil
}

// buildHost are the ARGs an engine predefines for the machine it runs on; an
// image that is the same everywhere cannot depend on them.
var buildHost = []string{"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"}

// from reads FROM [--platform=P] IMAGE [AS NAME], which sees the global ARGs only:
// it has to come before begin.
func (s *scope) from(in instruction) (image, alias string, err error) {
	words := slices.DeleteFunc(slices.Clone(in.words), func(w string) bool { return w == "" })
	switch {
	case len(words) == 3 && strings.EqualFold(words[1], "AS"):
		alias = words[2]
	case len(words) != 1:
		return "", "", in.errorf("wants IMAGE or IMAGE AS NAME")
	}
	if image, err = s.expand(in, words[0]); err != nil {
		return "", "", err
	}
	if image == "" {
		return "", "", in.errorf("%s comes out empty: the ARG it names has no value", words[0])
	}
	for _, f := range in.flags {
		platform, ok := strings.CutPrefix(f, "--platform=")
		if !ok {
			return "", "", in.errorf("unknown flag %s", f)
		}
		if platform, err = s.expand(in, platform); err != nil {
			return "", "", err
		}
		if platform != target["TARGETPLATFORM"] {
			return "", "", in.errorf("platform is %q, but kmod images are for %s", platform, target["TARGETPLATFORM"])
		}
	}
	return image, alias, nil
}

// pair is a NAME=VALUE of ENV or LABEL.
type pair struct{ name, value string }

// pairs reads ENV and LABEL. All of one instruction's values see the variables
// as they were before it.
func (s *scope) pairs(in instruction) ([]pair, error) {
	if len(in.words) == 0 || len(in.words)%3 != 0 {
		return nil, in.errorf("wants NAME=VALUE")
	}
	var out []pair
	for w := range slices.Chunk(in.words, 3) {
		name, err := s.expand(in, w[0])
		if err != nil {
			return nil, err
		}
		value, err := s.expand(in, w[1])
		if err != nil {
			return nil, err
		}
		if name == "" || strings.Contains(name, "=") {
			return nil, in.errorf("%q is no name", name)
		}
		out = append(out, pair{name, value})
	}
	return out, nil
}

// setEnv sets a variable for the rest of the stage and for the image. As with
// podman the variable set last stands last.
func (s *scope) setEnv(p pair) {
	s.env = slices.DeleteFunc(s.env, func(e string) bool { return strings.HasPrefix(e, p.name+"=") })
	s.env = append(s.env, p.name+"="+p.value)
}
