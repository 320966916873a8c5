package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// debianRelease is the Debian whose kernels and compiler the lab is made of.
const debianRelease = "bookworm"

const aptAdvice = "the lab is made of Debian 12 (bookworm) packages: run it there, after scripts/setup.sh and `sudo " +
	"apt-get update`"

// aptSources lists the Debian archives that this machine is set up to use, as lines of a sources.list, so that mirrors
// are honoured.
func aptSources(ctx context.Context) ([]string, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "apt-get", Args: []string{
		"indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)", "Created-By: Packages",
	}})
	if err != nil {
		return nil, fault.Wrap(err, aptAdvice)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 4 || f[0] != "Debian" || !strings.HasPrefix(f[1], debianRelease) ||
			strings.HasSuffix(f[1], "-backports") {
			continue
		}
		lines = append(lines, fmt.Sprintf("deb %s %s %s", f[2], f[1], f[3]))
	}
	if len(lines) == 0 {
		return nil, fault.Wrap(fmt.Errorf("apt knows no archive of Debian %s", debianRelease), aptAdvice)
	}
	return lines, nil
}

// packageVersions returns, for those of the named packages that can be downloaded, the newest version.
func packageVersions(ctx context.Context, names []string) (map[string]string, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "apt-cache", Args: append([]string{"madison", "--"}, names...)})
	if err != nil {
		return nil, fault.Wrap(err, aptAdvice)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(line, "|")
		if len(f) != 3 || strings.Contains(f[2], "Sources") {
			continue
		}
		name := strings.TrimSpace(f[0])
		if versions[name] == "" { // madison lists the newest first
			versions[name] = strings.TrimSpace(f[1])
		}
	}
	return versions, nil
}

// downloadPackages fetches packages ("NAME=VERSION") into dir and returns the files. Nothing is installed.
func downloadPackages(ctx context.Context, dir string, packages []string) ([]string, error) {
	args := append([]string{"-q", "-o", "APT::Sandbox::User=", "download", "--"}, packages...)
	if err := command.Run(ctx, command.Cmd{Name: "apt-get", Args: args, Dir: dir}); err != nil {
		return nil, fault.Wrap(err, "if a package is gone from the mirror: `sudo apt-get update && make clean`, then again")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	if len(files) != len(packages) {
		return nil, fmt.Errorf("apt-get download of %d packages gave %d files", len(packages), len(files))
	}
	return files, nil
}

// packageField reads a control field of a package file.
func packageField(ctx context.Context, file, field string) (string, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "dpkg-deb", Args: []string{"--field", file, field}})
	return string(bytes.TrimSpace(out)), err
}

// readPackage streams a package's files, as a tar archive, to read.
func readPackage(ctx context.Context, file string, read func(io.Reader) error) error {
	return stream(ctx, command.Cmd{Name: "dpkg-deb", Args: []string{"--fsys-tarfile", file}}, read)
}

// stream runs c and hands its standard output to read. A reader that fails stops the program.
func stream(ctx context.Context, c command.Cmd, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	c.Stdout = w
	done := make(chan error, 1)
	go func() {
		err := command.Run(ctx, c)
		w.CloseWithError(err) // nil is io.EOF
		done <- err
	}()
	readErr := read(r)
	if readErr == nil {
		_, readErr = io.Copy(io.Discard, r) // a tar reader stops before the padding
	}
	if readErr != nil {
		cancel(readErr)
		_ = r.CloseWithError(readErr) // never fails: https://pkg.go.dev/io#PipeReader.CloseWithError
		<-done                        //nolint:errcheck // that it was stopped is no news
		return readErr
	}
	return <-done
}
