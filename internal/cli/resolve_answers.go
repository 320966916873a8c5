package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"neuron-kmod/internal/platform/format"
)

// tell writes the answers and turns what is missing into the exit code 1. about is what else JSON says.
func (o *resolveOptions) tell(answers []answer, about map[string]any) error {
	if o.output == "json" {
		about["images"] = answers
		if err := o.encode(about); err != nil {
			return err
		}
		return shortage(answers)
	}
	tw := tabwriter.NewWriter(o.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "DRIVER\tKERNEL\tSTATE\tIMAGE")
	for _, a := range answers {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", a.Driver, cmp.Or(a.Kernel.String(), "-"), a.State, a.what())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return shortage(answers)
}

func (o *resolveOptions) encode(v any) error {
	enc := json.NewEncoder(o.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// what is the image, or why there is none.
func (a answer) what() string {
	if a.State == ready {
		return a.Image
	}
	return a.Reason
}

// shortage is the error for answers that lack an image, or may.
func shortage(answers []answer) error {
	lacking, wanted := 0, 0
	for _, a := range answers {
		if a.State == missing || a.State == unknown {
			lacking++
		}
		if a.State != notWanted {
			wanted++
		}
	}
	switch {
	case wanted == 0:
		return incomplete{errors.New("the matrix has no driver for it")}
	case lacking > 0:
		return incomplete{fmt.Errorf("%s missing or not known", format.Count(lacking, "image"))}
	}
	return nil
}
