package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"neuron-kmod/internal/action"
)

// ReleasesJSON writes what became of releases as one JSON object. The notes are told of a dry run only.
func ReleasesJSON(w io.Writer, r *action.ReleaseResult, dryRun bool) error {
	releases := r.Releases
	if !dryRun {
		releases = slices.Clone(releases)
		for i := range releases {
			releases[i].Notes = ""
		}
	}
	return JSON(w, "the releases", map[string][]action.DriverRelease{"releases": releases})
}

// ReleasesTable writes a line for each release.
func ReleasesTable(w io.Writer, r *action.ReleaseResult) error {
	for _, one := range r.Releases {
		if _, err := fmt.Fprintln(w, strings.TrimSpace(one.Tag+"  "+one.Summary()+"  "+one.URL)); err != nil {
			return err
		}
	}
	return nil
}

// ReleaseNotes writes the notes of a dry run. Several are Markdown as well: a comment stands before each.
func ReleaseNotes(w io.Writer, r *action.ReleaseResult) error {
	releases := slices.DeleteFunc(slices.Clone(r.Releases), func(one action.DriverRelease) bool { return one.Notes == "" })
	for _, one := range releases {
		text := strings.TrimRight(one.Notes, "\n") + "\n"
		if len(releases) > 1 {
			text = "<!-- " + one.Tag + " -->\n\n" + text + "\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// ReleasesMarkdown is what became of releases, for the summary of a step of GitHub Actions.
func ReleasesMarkdown(r *action.ReleaseResult) string {
	var sb strings.Builder
	sb.WriteString("### neuron-kmod: releases\n\n")
	for _, one := range r.Releases {
		name := one.Tag
		if one.URL != "" {
			name = "[" + one.Tag + "](" + one.URL + ")"
		}
		fmt.Fprintf(&sb, "- %s: %s\n", name, one.Summary())
	}
	return sb.String()
}
