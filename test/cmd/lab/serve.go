package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"neuron-kmod/test/lab"
)

// serve keeps an environment running until it is interrupted, and prints what leads a shell to it.
func serve(ctx context.Context, dir string, log *slog.Logger, args []string) error {
	flags := flag.NewFlagSet("lab serve", flag.ContinueOnError)
	releases := flags.Int("releases", demoReleases, "`number` of releases in the catalogue")
	work := flags.String("work", "", "the environment's own `directory` (default: the demo's)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *releases < 1 {
		return fmt.Errorf("-releases %d: at least one", *releases)
	}
	l, err := lab.Open(ctx, dir, log)
	if err != nil {
		return err
	}
	o := demoOptions(l)
	o.Releases = lab.Releases(*releases, l.DemoKernels())
	if *work != "" {
		if o.Dir, err = filepath.Abs(*work); err != nil {
			return err
		}
	}
	e, err := l.Start(ctx, o)
	if err != nil {
		return err
	}
	for _, v := range append(e.Vars, "TARGET="+e.Target) {
		name, value, _ := strings.Cut(v, "=")
		fmt.Printf("export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	fmt.Printf("# bin/neuron-kmod plan all %s\n", strings.Join(e.PlanFlags(), " "))
	fmt.Printf("# bin/neuron-kmod build all %s\n", strings.Join(e.BuildFlags(), " "))
	log.Info("serving until interrupted")
	<-ctx.Done()
	return e.Close()
}
