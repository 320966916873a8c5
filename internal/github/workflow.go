package github

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxSummary is what GitHub takes as the summary of a step; a larger one is dropped as a whole.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits
const maxSummary = 1 << 20

// Workflow tells GitHub Actions what a step has to say: annotations, masks, groups of log lines, a summary, outputs.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
//
// Commands are lines of the step's log, which the runner reads on stdout and stderr alike. It is for one goroutine at a
// time, but for Out, which others may write to as well if each of its Writes is atomic.
type Workflow struct {
	Out     io.Writer // the step's log
	Summary string    // path in GITHUB_STEP_SUMMARY, "" if there is none
	Outputs string    // path in GITHUB_OUTPUT, "" if there is none
}

// Error makes an annotation that marks the step as wrong. It does not end it.
func (w *Workflow) Error(title, message string) { w.command("error", title, message) }

// Warning makes an annotation.
func (w *Workflow) Warning(title, message string) { w.command("warning", title, message) }

// Mask hides a secret in all that the step and later ones of the job log from now on. The line that does so is hidden
// by the runner itself.
func (w *Workflow) Mask(secret string) {
	if secret != "" {
		fmt.Fprintf(w.Out, "::add-mask::%s\n", escapeData(secret))
	}
}

// Group writes lines under a title that can be unfolded.
func (w *Workflow) Group(title string, lines []byte) {
	// One Write, so that lines of others do not get into the group.
	var sb strings.Builder
	fmt.Fprintf(&sb, "::group::%s\n", escapeData(title))
	sb.Write(lines)
	if len(lines) > 0 && lines[len(lines)-1] != '\n' {
		sb.WriteByte('\n')
	}
	sb.WriteString("::endgroup::\n")
	_, _ = io.WriteString(w.Out, sb.String())
}

func (w *Workflow) command(name, title, message string) {
	fmt.Fprintf(w.Out, "::%s title=%s::%s\n", name, escapeProperty(title), escapeData(message))
}

// escapeData and escapeProperty are the runner's own rules:
// https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// AddSummary adds Markdown to the step's summary. What is too long for GitHub is cut at a line, and says so.
func (w *Workflow) AddSummary(markdown string) error {
	if w.Summary == "" {
		return nil
	}
	const cut = "\n\n(cut: GitHub shows 1 MiB at most)\n"
	if len(markdown) > maxSummary {
		markdown = markdown[:maxSummary-len(cut)]
		markdown = markdown[:strings.LastIndexByte(markdown, '\n')+1] + cut
	}
	return appendTo(w.Summary, markdown, "step summary")
}

// SetOutput sets an output of the step, which later steps read as steps.ID.outputs.NAME.
func (w *Workflow) SetOutput(name, value string) error {
	if w.Outputs == "" {
		return nil
	}
	// A delimiter that nobody can foresee keeps a value from setting outputs of its own.
	end := "end-" + rand.Text()
	return appendTo(w.Outputs, fmt.Sprintf("%s<<%s\n%s\n%s\n", name, end, value, end), "output "+strconv.Quote(name))
}

func appendTo(path, text, what string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
