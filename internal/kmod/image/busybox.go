package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// ExpectedBusyBox is the version that R5.2 and R7.2 name.
const ExpectedBusyBox = "1.36.1"

// maxBinary bounds how much of one binary is searched. A static BusyBox is 1-2 MB.
const maxBinary = 64 << 20

// busyBoxPaths are searched beside the programs that KMM runs: an image can hold BusyBox and have another shell, and
// its licence holds all the same.
var busyBoxPaths = []string{"bin/busybox", "usr/bin/busybox", "sbin/busybox", "usr/sbin/busybox"}

// busyBox returns the version of the first BusyBox among programs and the usual places, or "".
func (fs *rootfs) busyBox(ctx context.Context, programs []*node) (string, error) {
	for _, p := range busyBoxPaths {
		if n := fs.program(p); n != nil {
			programs = append(programs, n)
		}
	}
	var seen []*node
	for _, n := range programs {
		if slices.Contains(seen, n) {
			continue
		}
		seen = append(seen, n)
		var version string
		err := fs.read(ctx, n, func(r io.Reader) (err error) {
			version, err = scanBusyBox(r)
			return err
		})
		if err != nil || version != "" {
			return version, err
		}
	}
	return "", nil
}

// The banner is the string "BusyBox v" BB_VER " (" BANNER ")" of https://git.busybox.net/busybox/tree/libbb/messages.c,
// in the binary as it is. The version ends up in labels and URLs, so its form is narrow.
var banner = regexp.MustCompile(`BusyBox v([0-9]{1,4}(?:\.[0-9]{1,4}){1,2}(?:[.-][0-9a-z]{1,12})?) \(`)

const maxBanner = 64 // longer than any match of banner

// scanBusyBox returns the version that the banner in r states, or "" if there is none in its first 64 MiB.
func scanBusyBox(r io.Reader) (string, error) {
	r = io.LimitReader(r, maxBinary)
	buf := make([]byte, 0, 128<<10)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if m := banner.FindSubmatch(buf); m != nil {
			return string(m[1]), nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		// A banner may lie across two readings: keep the end of this one.
		keep := copy(buf, buf[len(buf)-maxBanner:])
		buf = buf[:keep]
	}
}

var released = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)

// BusyBoxSource says where the source of a BusyBox version is (R5.2, R7.2): a URL and its backup. For a version that
// was never released both are "".
func BusyBoxSource(version string) (primary, backup string) {
	if !released.MatchString(version) {
		return "", ""
	}
	tag := strings.ReplaceAll(version, ".", "_")
	return "https://github.com/mirror/busybox/archive/refs/tags/" + tag + ".tar.gz",
		"https://git.busybox.net/busybox/snapshot/busybox-" + version + ".tar.bz2"
}

// busyBoxSourceLabel names every place where the source can be had; last the archive that the release itself carries,
// the one place in our own hands.
func busyBoxSourceLabel(version, releaseURL string) string {
	asset := fmt.Sprintf("%s/busybox-%s.tar.gz", releaseURL, version)
	primary, backup := BusyBoxSource(version)
	if primary == "" {
		return asset
	}
	return fmt.Sprintf("%s (backup: %s, %s)", primary, backup, asset)
}
