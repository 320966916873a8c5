package image

import (
	"fmt"
	"strings"
)

// scratch is the name of the empty base, which no registry holds.
const scratch = "scratch"

// BaseReference returns the image that the last stage of a Containerfile is
// built on, with args applied: what has to be resolved to make [Spec.Base].
// name is how errors call the file.
func BaseReference(name string, text []byte, args map[string]string) (string, error) {
	cf, err := parseContainerfile(name, text)
	if err != nil {
		return "", err
	}
	stages, err := cf.stages(args)
	if err != nil {
		return "", err
	}
	return stages[len(stages)-1].image, nil
}

// stage is one FROM with its ARGs filled in.
type stage struct {
	from  instruction
	name  string // what FROM names: an image, or an earlier stage
	alias string // what AS calls the stage, or ""
	image string // the image below it all
}

// stages returns the stages in order, at least one.
func (cf *containerfile) stages(args map[string]string) ([]stage, error) {
	s := newScope(cf.escape, args)
	named := map[string]string{}
	var stages []stage
	for _, in := range cf.instructions {
		var err error
		switch {
		case in.name == "FROM":
			st := stage{from: in}
			if st.name, st.alias, err = s.from(in); err != nil {
				return nil, err
			}
			st.image = st.name
			if earlier, ok := named[strings.ToLower(st.name)]; ok {
				st.image = earlier
			}
			if st.alias != "" {
				named[strings.ToLower(st.alias)] = st.image
			}
			stages = append(stages, st)
		case len(stages) > 0:
			// The inside of a stage names no base.
		case in.name == "ARG":
			err = s.declare(in)
		default:
			err = in.errorf("only ARG may stand before FROM")
		}
		if err != nil {
			return nil, err
		}
	}
	if len(stages) == 0 {
		return nil, fmt.Errorf("%s: has no FROM", cf.name)
	}
	return stages, nil
}

// literalFrom returns text with the ARGs of every FROM filled in, all else and
// every line number as it was. Podman 4 looks a FROM up among the images that it
// is lent by what is written, and fills in ARGs only afterwards.
func literalFrom(text []byte, stages []stage) []byte {
	lines := strings.Split(string(text), "\n")
	for _, st := range stages {
		words := append(append([]string{"FROM"}, st.from.flags...), st.name)
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
