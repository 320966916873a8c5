package release

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// busyBoxLimits: BusyBox has about 3,000 files and 10 MB, which are 2.5 MB as an archive.
var busyBoxLimits = limits{download: 16 << 20, entries: 20_000, total: 64 << 20}

// readBusyBox reads an archive and checks that it is the source of that version of BusyBox: besides what readContents
// checks, it has a Makefile of that version and a LICENSE. GitHub calls the directory busybox-1_36_1, which becomes
// BusyBox's own busybox-1.36.1.
func readBusyBox(ctx context.Context, archive []byte, version string, lim limits) (contents, error) {
	c, err := readContents(ctx, archive, busyBoxDir(version), lim)
	if err != nil {
		return nil, err
	}
	return c, checkIsBusyBox(c, version)
}

// checkIsBusyBox returns an error for an archive that is not the source of a version.
func checkIsBusyBox(c contents, version string) error {
	makefile, err := c.read(path.Join(busyBoxDir(version), "Makefile"))
	if err != nil {
		return fmt.Errorf("it is not BusyBox's source: %w", err)
	}
	if got := makefileVersion(makefile); got != version {
		return fmt.Errorf("its Makefile is that of version %.40q", got)
	}
	if _, err = c.read(path.Join(busyBoxDir(version), "LICENSE")); err != nil {
		return fmt.Errorf("it is not BusyBox's source: %w", err)
	}
	return nil
}

// makefileVersion joins the four parts of the version that BusyBox's Makefile begins with, as the binary's banner does.
func makefileVersion(makefile string) string {
	parts := map[string]string{}
	for line := range strings.Lines(makefile) {
		name, value, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if _, found := parts[name]; !found {
			parts[name] = strings.TrimSpace(value)
		}
	}
	return parts["VERSION"] + "." + parts["PATCHLEVEL"] + "." + parts["SUBLEVEL"] + parts["EXTRAVERSION"]
}
