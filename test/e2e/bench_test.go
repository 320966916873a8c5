//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"neuron-kmod/internal/version"
	"neuron-kmod/test/lab"
)

var allMinors = []string{"4.20", "4.21", "4.22"}

// BenchmarkNothingToDo: a run with everything published. Wanted: no request to the DTK registry, at most 3 per
// driver to the target, under 1 s.
func BenchmarkNothingToDo(b *testing.B) {
	env := start(b, lab.Options{
		Releases: lab.Releases(12, sharedLab.DemoKernels()[:2]), Faults: true,
		Matrix: []lab.MatrixEntry{{Driver: "2.24.7.0", OCPVersions: allMinors}},
	})
	mustBuild(b, env)
	env.ToolkitFaults.Reset()
	env.TargetFaults.Reset()
	b.ResetTimer()
	for range b.N {
		mustBuild(b, env)
	}
	b.StopTimer()
	toolkits, target := env.ToolkitFaults.Total().Requests, float64(env.TargetFaults.Total().Requests)/float64(b.N)
	if toolkits > 0 || target > 3 {
		b.Errorf("%d requests to the DTK registry, %.1f to the target: wanted none and at most 3", toolkits, target)
	}
	b.ReportMetric(float64(toolkits), "DTK-requests")
	b.ReportMetric(target, "target-requests/driver")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "wall-s")
}

// BenchmarkColdRun: six kernels, one driver as heavy as the real one, nothing cached. Wanted: wall time at most
// 1.25 times (compile CPU-seconds / cores + the first DTK's pull), and a peak memory of the program under 150 MB.
func BenchmarkColdRun(b *testing.B) {
	for i := range b.N {
		env := start(b, lab.Options{
			Dir:      filepath.Join(b.TempDir(), strconv.Itoa(i)),
			Releases: lab.Releases(12, sharedLab.DemoKernels()), Faults: true,
			Matrix: []lab.MatrixEntry{{Driver: "2.24.7.0", OCPVersions: allMinors}},
		})
		makeHeavy(b, env, "2.24.7.0")
		begin := time.Now()
		cmd, stdout, stderr := command(b, env, buildArgs(env, "--log-format", "json", "-v")...)
		err := cmd.Run()
		wall := time.Since(begin).Seconds()
		r := finish(b, cmd, err, stdout, stderr)
		if r.code != 0 || r.report.count("built") != 6 {
			b.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
		}
		pulls := pullSeconds(b, r.stderr)
		cpu := compileSeconds(b, env)
		floor := cpu/float64(runtime.NumCPU()) + pulls[0]
		b.ReportMetric(wall, "wall-s")
		b.ReportMetric(cpu, "compile-cpu-s")
		b.ReportMetric(pulls[0], "first-pull-s")
		b.ReportMetric(wall/floor, "wall/floor")
		b.ReportMetric(float64(len(pulls)), "pulls")
		reportMemory(b, cmd.ProcessState.SysUsage())
	}
}

// makeHeavy has the download server serve a driver that costs what the real one does.
func makeHeavy(b *testing.B, env *lab.Env, driver string) {
	b.Helper()
	v, err := version.ParseDriver(driver)
	if err != nil {
		b.Fatal(err)
	}
	spec := lab.RPMSpec{Version: v, Edit: lab.Heavier(lab.RealWeight)}
	if err := lab.WriteDriver(env.Downloads.Dir, spec); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkThreeDrivers: three drivers on six kernels. Wanted: six DTK pulls.
func BenchmarkThreeDrivers(b *testing.B) {
	for i := range b.N {
		env := start(b, lab.Options{
			Dir:      filepath.Join(b.TempDir(), strconv.Itoa(i)),
			Releases: lab.Releases(12, sharedLab.DemoKernels()), Faults: true,
			Matrix: []lab.MatrixEntry{
				{Driver: "2.22.2.0", OCPVersions: allMinors},
				{Driver: "2.24.7.0", OCPVersions: allMinors},
				{Driver: "2.28.0.0", OCPVersions: allMinors},
			},
		})
		env.ToolkitFaults.Reset()
		cmd, stdout, stderr := command(b, env, buildArgs(env, "--log-format", "json", "-v")...)
		err := cmd.Run()
		r := finish(b, cmd, err, stdout, stderr)
		if r.code != 0 || r.report.count("built") != 18 {
			b.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
		}
		pulls := len(pullSeconds(b, r.stderr))
		if pulls != 6 {
			b.Errorf("%d DTK pulls for 6 kernels", pulls)
		}
		b.ReportMetric(float64(pulls), "pulls")
		b.ReportMetric(float64(env.ToolkitFaults.Total(lab.Blob).Bytes)/(1<<20), "DTK-MiB")
		reportMemory(b, cmd.ProcessState.SysUsage())
	}
}

// pullSeconds reads from the program's JSON log how long each pull took.
func pullSeconds(b *testing.B, log string) []float64 {
	b.Helper()
	var out []float64
	lines := bufio.NewScanner(strings.NewReader(log))
	for lines.Scan() {
		var line struct {
			Msg  string
			Took time.Duration
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "the Driver Toolkit is here" {
			out = append(out, line.Took.Seconds())
		}
	}
	if len(out) == 0 {
		b.Fatalf("the log tells of no pull:\n%s", log)
	}
	return out
}

// times is what the shell's builtin prints of a script's children: minutes and seconds, user and system.
var times = regexp.MustCompile(`(?m)^(\d+)m([\d.]+)s (\d+)m([\d.]+)s\n(\d+)m([\d.]+)s (\d+)m([\d.]+)s$`)

// compileSeconds sums the CPU time of all compiles, which build-module.sh writes to the end of its log.
func compileSeconds(b *testing.B, env *lab.Env) float64 {
	b.Helper()
	logs, err := filepath.Glob(filepath.Join(env.Dir, "cache/neuron-kmod/logs/*.log"))
	if err != nil || len(logs) == 0 {
		b.Fatalf("no compile logs: %v", err)
	}
	var sum float64
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		m := times.FindStringSubmatch(string(text))
		if m == nil {
			b.Fatalf("%s does not end with CPU times:\n%s", path, text)
		}
		for i := 1; i < len(m); i += 2 {
			minutes, err1 := strconv.ParseFloat(m[i], 64)
			seconds, err2 := strconv.ParseFloat(m[i+1], 64)
			if err1 != nil || err2 != nil {
				b.Fatal(errors.Join(err1, err2))
			}
			sum += 60*minutes + seconds
		}
	}
	return sum
}

// reportMemory reports the peak memory of a run, and holds it to its bound.
func reportMemory(b *testing.B, usage any) {
	b.Helper()
	peak := maxRSS(b, usage)
	if peak > 150 {
		b.Errorf("peak memory %.0f MB, wanted at most 150", peak)
	}
	b.ReportMetric(peak, "peak-MB")
}

// maxRSS is the peak resident memory of the program or of the largest podman it ran, in MB.
func maxRSS(t testing.TB, usage any) float64 {
	t.Helper()
	u, ok := usage.(*syscall.Rusage)
	if !ok {
		t.Fatalf("resource usage is %T", usage)
	}
	return float64(u.Maxrss) / 1000
}
