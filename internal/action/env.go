// Package action holds the use cases of the program: plan, build, release and the others, each a function of a request that
// returns a result. It knows neither command lines nor output: package cli makes requests of flags, package report renders
// results. Only action opens ways to the outside.
package action

import (
	"log/slog"

	"neuron-kmod/internal/platform/config"
	"neuron-kmod/internal/platform/progress"
)

// The one architecture that Trainium and Inferentia instances have, as catalogues and as registries name it.
const (
	arch     = "x86_64"
	platform = "linux/amd64"
)

// parallelReads is how many Driver Toolkits or images are read at the same time: enough to hide the latency, few enough to
// be a polite guest at quay.io.
const parallelReads = 8

// quayHost is where Driver Toolkits are from.
const quayHost = "quay.io"

// Env is what every use case runs in.
type Env struct {
	Settings config.Settings // of the environment; what a request has of the same name counts instead
	CAFile   string          // PEM file with certificates to trust besides the system's, "" for none
	Version  string          // of the program
	Log      *slog.Logger
	// Mask is told each short-lived secret before it is used, so that whoever keeps a log can hide it.
	Mask func(secret string)
	// Progress begins to show tasks that are under way. Whoever calls it closes what it returns.
	Progress func() *progress.Progress
}
