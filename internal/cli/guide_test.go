package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"neuron-kmod/internal/platform/config"
)

// Every command line of the guides is one that the program understands: its commands, flags and number of arguments.
func TestGuideCommands(t *testing.T) {
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatal("no guides", err)
	}
	n := 0
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
			if !strings.HasPrefix(line, "neuron-kmod ") {
				continue
			}
			n++
			line, _, _ = strings.Cut(line, " | ")
			line, _, _ = strings.Cut(line, " #")
			if err := understand(t, strings.Fields(line)[1:]); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(guide), line, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d command lines found", n)
	}
}

// understand parses a command line without running it.
func understand(t *testing.T, args []string) error {
	t.Helper()
	settings, err := config.FromEnvironment(func(name string) string { return map[string]string{"HOME": "/home/you"}[name] })
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(&app{settings: settings, stdout: io.Discard})
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}

	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
