package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

func newResolve(a *app) *cobra.Command {
	var (
		r                action.ResolveRequest
		from, to, output string
	)
	cmd := &cobra.Command{
		Use:   "resolve OCP_VERSION|KERNEL|-",
		Short: "Show which image a release, a kernel or a cluster needs, and whether it is published",
		Long: `Resolve answers for an OpenShift release, for a kernel as uname -r prints it, or
for the nodes of a cluster: - reads the output of kubectl get nodes -o json from
stdin. With --from and --to it says whether a cluster can be upgraded. The exit
code is 1 if an image is missing.`,
		Example: `  neuron-kmod resolve 4.21.3 --target quay.io/me/neuron-kmod
  neuron-kmod resolve 5.14.0-570.96.1.el9_6.x86_64 --target quay.io/me/neuron-kmod
  oc get nodes -o json | neuron-kmod resolve - --target quay.io/me/neuron-kmod
  neuron-kmod resolve --from 4.20.11 --to 4.21.3 --target quay.io/me/neuron-kmod`,
		Args: exactly(0, 1, "an OpenShift version, a kernel or -; or --from and --to"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output, "text", "json"); err != nil {
				return err
			}
			upgrade := from != "" || to != ""
			switch {
			case upgrade && (len(args) > 0 || from == "" || to == ""):
				return fault.AsUsage(errors.New("--from and --to go together, without an argument"))
			case !upgrade && len(args) == 0:
				return fault.AsUsage(fault.Wrap(errors.New("nothing to resolve"),
					"name an OpenShift release, a kernel, or - for the nodes on stdin"))
			case upgrade:
				return a.resolveUpgrade(cmd.Context(), r, from, to, output)
			case args[0] == "-":
				return a.resolveNodes(cmd.Context(), r, output)
			}
			return a.resolveArgument(cmd.Context(), r, args[0], output)
		},
	}
	a.fileFlags(cmd, &r.Matrix, &r.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	f := cmd.Flags()
	f.StringVar(&r.Driver, "driver", "all", "only this `driver`")
	f.StringVar(&from, "from", "", "the OpenShift `release` of the cluster now")
	f.StringVar(&to, "to", "", "the OpenShift `release` to upgrade to")
	f.StringVarP(&output, "output", "o", "text", "`format` of the result: text or json")
	return cmd
}

// Each of these writes the answers, and returns the error that says what is missing.

func (a *app) resolveArgument(ctx context.Context, r action.ResolveRequest, argument, output string) error {
	answers, verdict := action.ResolveArgument(ctx, a.env(), r, argument)
	if answers == nil {
		return verdict
	}
	write := report.ResolutionTable
	if output == "json" {
		write = report.ResolutionJSON
	}
	if err := write(a.stdout, answers); err != nil {
		return err
	}
	return verdict
}

func (a *app) resolveNodes(ctx context.Context, r action.ResolveRequest, output string) error {
	if f, ok := a.stdin.(*os.File); ok && xterm.IsTerminal(int(f.Fd())) {
		return fault.AsUsage(fault.Wrap(errors.New("stdin is a terminal, not a list of nodes"), action.NodesUsage))
	}
	nodes, verdict := action.ResolveNodes(ctx, a.env(), r, a.stdin)
	if nodes == nil {
		return verdict
	}
	write := report.NodesTable
	if output == "json" {
		write = report.NodesJSON
	}
	if err := write(a.stdout, nodes); err != nil {
		return err
	}
	return verdict
}

func (a *app) resolveUpgrade(ctx context.Context, r action.ResolveRequest, from, to, output string) error {
	u, verdict := action.ResolveUpgrade(ctx, a.env(), r, from, to)
	if u == nil {
		return verdict
	}
	var err error
	if output == "json" {
		err = report.JSON(a.stdout, "the upgrade", u)
	} else {
		err = report.UpgradeTable(a.stdout, u, verdict)
	}
	if err != nil {
		return err
	}
	return verdict
}
