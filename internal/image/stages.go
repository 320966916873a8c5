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
	bases, err := cf.bases(args)
	if err != nil {
		return "", err
	}
	return bases[len(bases)-1], nil
}

// bases returns for each stage the image it is built on, at least one. A stage
// that is built on an earlier one is built on that one's image.
func (cf *containerfile) bases(args map[string]string) ([]string, error) {
	s := newScope(cf.escape, args)
	named := map[string]string{}
	var bases []string
	for _, in := range cf.instructions {
		var err error
		switch {
		case in.name == "FROM":
			var image, alias string
			if image, alias, err = s.from(in); err != nil {
				return nil, err
			}
			if earlier, ok := named[strings.ToLower(image)]; ok {
				image = earlier
			}
			if alias != "" {
				named[strings.ToLower(alias)] = image
			}
			bases = append(bases, image)
		case len(bases) > 0:
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
	if len(bases) == 0 {
		return nil, fmt.Errorf("%s: has no FROM", cf.name)
	}
	return bases, nil
}
