package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactly(0, 0, "no arguments"),
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return nil // it needs no environment
		},
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "neuron-kmod %s %s/%s %s\n", buildVersion(), runtime.GOOS, runtime.GOARCH,
				runtime.Version())
			return err
		},
	}
}

// buildVersion is the module's version, or the revision that was checked out, as the Go command stamped it into the
// binary.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value
		}
	}
	return "devel"
}
