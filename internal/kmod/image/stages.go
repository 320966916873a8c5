package image

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"neuron-kmod/internal/platform/fault"
)

// scratch is the name of the empty base, which no registry holds.
const scratch = "scratch"

// BaseReference returns the image that the last stage of a Containerfile is built on, with args applied: what has to be
// resolved to make [Spec.Base]. Errors begin with the file's name and the line.
func BaseReference(text []byte, args map[string]string) (string, error) {
	stages, err := parseStages(text, args)
	if err != nil {
		return "", err
	}
	return stages[len(stages)-1].image, nil
}

// stage is one FROM with its ARGs filled in.
type stage struct {
	from  instruction
	flags []string
	name  string // what FROM names: an image, or an earlier stage
	alias string // what AS calls the stage, or ""
	image string // the image below it all
}

// predefined are the ARGs that every engine defines for the image's platform.
var predefined = map[string]string{
	"TARGETPLATFORM": imageOS + "/" + imageArch, "TARGETOS": imageOS, "TARGETARCH": imageArch, "TARGETVARIANT": "",
}

// parseStages returns the stages of a Containerfile in order, at least one. A FROM sees the ARGs before the first FROM,
// and a value that is given wins over a default: https://docs.docker.com/reference/dockerfile/#arg
func parseStages(text []byte, given map[string]string) ([]stage, error) {
	instructions, err := parseContainerfile(text)
	if err != nil {
		return nil, err
	}
	global := maps.Clone(predefined)
	value := func(name string) string { return global[name] }
	below := map[string]string{} // the image below a stage, by its alias in lower case
	var stages []stage
	for _, in := range instructions {
		switch {
		case in.name == "FROM":
			s, err := parseFrom(in, value)
			if err != nil {
				return nil, err
			}
			s.image = s.name
			if image, ok := below[strings.ToLower(s.name)]; ok {
				s.image = image
			}
			if s.alias != "" {
				below[strings.ToLower(s.alias)] = s.image
			}
			stages = append(stages, s)
		case len(stages) > 0:
			// The inside of a stage names no base.
		case in.name != "ARG":
			return nil, in.errorf("only ARG may stand before FROM")
		default:
			if err := declare(in, given, global); err != nil {
				return nil, err
			}
		}
	}
	if len(stages) == 0 {
		return nil, fmt.Errorf("%s: has no FROM", fileName)
	}
	return stages, nil
}

// declare carries out ARG NAME or ARG NAME=DEFAULT, or several of them, before the first FROM.
func declare(in instruction, given, global map[string]string) error {
	words := in.words()
	if len(words) == 0 {
		return in.errorf("wants NAME or NAME=DEFAULT")
	}
	for _, w := range words {
		name, text, hasDefault := strings.Cut(w, "=")
		if name == "" || strings.ContainsAny(name, "$\"'") {
			return in.errorf("%q is not a variable name", name)
		}
		if v, ok := given[name]; ok {
			if err := checkValue(v); err != nil {
				return in.errorf("build argument %s: %w", name, err)
			}
			global[name] = v
			continue
		}
		if !hasDefault {
			continue // it says only that FROM may name it
		}
		v, err := expand(text, func(name string) string { return global[name] })
		if err != nil {
			return in.errorf("%w", err)
		}
		global[name] = v
	}
	return nil
}

// parseFrom reads FROM [--platform=P] IMAGE [AS NAME].
func parseFrom(in instruction, value func(name string) string) (stage, error) {
	s := stage{from: in}
	words := in.words()
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		s.flags, words = append(s.flags, words[0]), words[1:]
	}
	switch {
	case len(words) == 3 && strings.EqualFold(words[1], "AS"):
		s.alias = words[2]
	case len(words) != 1:
		return s, in.errorf("wants IMAGE or IMAGE AS NAME")
	}
	var err error
	if s.name, err = expand(words[0], value); err != nil {
		return s, in.errorf("%w", err)
	}
	if s.name == "" {
		return s, in.errorf("%s comes out empty: the ARG it names has no value", words[0])
	}
	for _, f := range s.flags {
		platform, ok := strings.CutPrefix(f, "--platform=")
		if !ok {
			return s, in.errorf("unknown flag %s", f)
		}
		if platform, err = expand(platform, value); err != nil {
			return s, in.errorf("%w", err)
		}
		if platform != predefined["TARGETPLATFORM"] {
			return s, in.errorf("platform is %q, but kmod images are for %s", platform, predefined["TARGETPLATFORM"])
		}
	}
	return s, nil
}

func wrongBase(err error) error {
	return fault.Wrap(err, "let FROM take the base image from ARG "+ArgBase+", or name the same image in both places")
}

// literalFrom returns text with the ARGs of every FROM filled in, all else and every line number as it was. Podman 4
// looks a FROM up among the images that it is lent by what is written, and fills in ARGs only afterwards.
func literalFrom(text []byte, stages []stage) []byte {
	lines := strings.Split(string(text), "\n")
	for _, st := range stages {
		words := slices.Concat([]string{"FROM"}, st.flags, []string{st.name})
		if st.alias != "" {
			words = append(words, "AS", st.alias)
		}
		lines[st.from.line-1] = strings.Join(words, " ")
		for i := st.from.line; i < st.from.end; i++ {
			lines[i] = ""
		}
	}
	return []byte(strings.Join(lines, "\n"))
}
