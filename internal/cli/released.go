package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// released is what became of one driver's release.
type released struct {
	Driver  version.Driver `json:"driver"`
	Tag     string         `json:"tag"`
	URL     string         `json:"url"`
	Changes []string       `json:"changes"` // empty if everything was as it should be; null if a dry run cannot know
	Missing int            `json:"missing"` // images and releases that the notes tell as missing
	Error   string         `json:"error"`
	Notes   string         `json:"notes,omitempty"` // of a dry run
}

// verdict is the command's: the one reason why all have failed, or else that
// something did or is missing.
func verdict(results []released, failed []error) error {
	if len(failed) > 0 && len(failed) == len(results) {
		return failed[0]
	}
	missing := 0
	for _, r := range results {
		missing += r.Missing
	}
	if len(failed) > 0 || missing > 0 {
		return incomplete{fmt.Errorf("%d of %s failed; %s missing or not known",
			len(failed), format.Count(len(results), "release"), format.Count(missing, "image"))}
	}
	return nil
}

func (o *buildOptions) writeReleases(results []released) error {
	if !o.dryRun {
		for i := range results {
			results[i].Notes = ""
		}
	}
	if o.output == "json" {
		enc := json.NewEncoder(o.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string][]released{"releases": results})
	}
	if o.dryRun {
		return o.writeNotes(results)
	}
	for _, r := range results {
		if _, err := fmt.Fprintln(o.stdout, strings.TrimSpace(r.Tag+"  "+r.what()+"  "+r.URL)); err != nil {
			return err
		}
	}
	return nil
}

// writeNotes writes the notes of a dry run. Several are Markdown as well: a comment stands before each.
func (o *buildOptions) writeNotes(results []released) error {
	results = slices.DeleteFunc(slices.Clone(results), func(r released) bool { return r.Notes == "" })
	for _, r := range results {
		text := strings.TrimRight(r.Notes, "\n") + "\n"
		if len(results) > 1 {
			text = "<!-- " + r.Tag + " -->\n\n" + text + "\n"
		}
		if _, err := io.WriteString(o.stdout, text); err != nil {
			return err
		}
	}
	return nil
}

// summary is the result for the summary of a step of GitHub Actions.
func summary(results []released) string {
	var sb strings.Builder
	sb.WriteString("### neuron-kmod: releases\n\n")
	for _, r := range results {
		name := r.Tag
		if r.URL != "" {
			name = "[" + r.Tag + "](" + r.URL + ")"
		}
		fmt.Fprintf(&sb, "- %s: %s\n", name, r.what())
	}
	return sb.String()
}

// what says in a few words what became of a release.
func (r released) what() string {
	switch {
	case r.Error != "":
		return "failed: " + strings.Join(strings.Fields(r.Error), " ")
	case len(r.Changes) > 0:
		return strings.Join(r.Changes, ", ")
	case r.URL == "":
		return "no image is published, so there is no release"
	}
	return "unchanged"
}
