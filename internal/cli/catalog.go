package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/hint"
)

func newCatalog(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Look after the catalogue of Driver Toolkits, and copies of them",
		Args: func(cmd *cobra.Command, args []string) error {
			err := errors.New("catalog needs a command")
			if len(args) > 0 {
				err = fmt.Errorf("there is no command %q", args[0])
			}
			return usage{hint.Wrap(err, "see `"+cmd.CommandPath()+" --help`")}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCatalogMirror(a))
	return cmd
}
