package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// R4.2, R8.1: of a long log a person sees the one line that says what is wrong.
func TestFirstError(t *testing.T) {
	tests := []struct{ log, want string }{
		{"gcc.log", "sub/a.c:3:24: error: implicit declaration of function 'undeclared' [-Werror=implicit-function-declaration]"},
		{"header.log", "neuron_main.c:1:10: fatal error: linux/nothing.h: No such file or directory"},
		{"colours.log", "neuron_cdev.c:2801:41: error: initialization of 'ssize_t (*)(const struct class *)' from incompatible pointer type [-Werror=incompatible-pointer-types]"},
		{"modpost.log", `ERROR: modpost: "mm_get_unmapped_area" [neuron.ko] undefined!`},
		{"linker.log", "ld: cannot find sub/missing.o: No such file or directory"},
		{"make.log", "make[1]: *** No rule to make target 'neuron_dma.o', needed by 'neuron.o'.  Stop."},
		{"headers.log", "build-module.sh: error: the Driver Toolkit image has no headers for kernel 5.14.0-570.el9_6.x86_64"},
		{"disk.log", "sub/a.c:9:1: fatal error: error writing to /tmp/ccX.s: No space left on device"},
		{"memory.log", "gcc: fatal error: Killed signal terminated program cc1"},
		{"good.log", ""},
	}
	for _, tt := range tests {
		t.Run(tt.log, func(t *testing.T) {
			log, err := os.ReadFile(filepath.Join("testdata", "logs", tt.log))
			if err != nil {
				t.Fatal(err)
			}
			if got := firstError(log); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			f := &errorFinder{}
			piecewise(t, f, log)
			if got := f.first(); got != tt.want {
				t.Errorf("in pieces: got %q", got)
			}
		})
	}
}

// piecewise writes data byte by byte.
func piecewise(t *testing.T, f *errorFinder, data []byte) {
	t.Helper()
	for i := range data {
		if n, err := f.Write(data[i : i+1]); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
}

func TestFirstErrorLines(t *testing.T) {
	tests := []struct {
		name, log, want string
	}{
		{"nothing", "", ""},
		{"no end of line", "a.c:1:2: error: x", "a.c:1:2: error: x"},
		{"a cause after a consequence", "make: *** [x] Error 2\na.c:1: error: x\n", "a.c:1: error: x"},
		{"a Kbuild file", "Kbuild:3: *** missing separator.  Stop.\nmake: *** [Makefile:9: /tmp/x] Error 2\n", "Kbuild:3: *** missing separator.  Stop."},
		{"an assembler error", "a.s:7: Error: no such instruction: `foo'\n", "a.s:7: Error: no such instruction: `foo'"},
		{"a warning", "a.c:1:2: warning: error: x\nWARNING: modpost: missing\n/usr/bin/ld: warning: cannot find entry symbol\n", ""},
		{"only -Werror", "cc1: all warnings being treated as errors\n", ""},
		{"depmod's warnings", "depmod: WARNING: could not open modules.order at /output: No such file or directory\n", ""},
		{"depmod fails", "depmod: ERROR: openat(/output, modules.dep.1, 301, 644): Permission denied\n", "depmod: ERROR: openat(/output, modules.dep.1, 301, 644): Permission denied"},
		{"a program is missing", "/input/script/job.sh: 60: gcc: not found\n", "/input/script/job.sh: 60: gcc: not found"},
		{"the engine", "Error: crun: cannot allocate memory\n", "Error: crun: cannot allocate memory"},
		{"a long line", "a.c:1:2: error: " + strings.Repeat("é", 1000), "a.c:1:2: error: " + strings.Repeat("é", 242) + "..."},
		{"an endless line before", strings.Repeat("x", 3*maxLogLine) + "\na.c:1:2: error: x\n", "a.c:1:2: error: x"},
		{"control characters", "a.c:1:2: error: \x07bell\tand\x1b]0;title\x07\n", "a.c:1:2: error: bell and]0;title"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := firstError([]byte(tt.log)); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// Whatever a compiler says, the line is short and does nothing to a terminal.
func FuzzFirstError(f *testing.F) {
	f.Add([]byte("a.c:1:2: error: x\x1b[31m\n"))
	f.Add([]byte("make: *** \xff\x00\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		got := firstError(log)
		if len(got) > maxErrorLine+len("...") || !utf8.ValidString(got) {
			t.Errorf("%d bytes, valid: %v", len(got), utf8.ValidString(got))
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q has a character that does not print", got)
		}
	})
}

// firstError is what a log that is written in one piece has for its first error.
func firstError(log []byte) string {
	f := &errorFinder{}
	_, _ = f.Write(log) // it never fails
	return f.first()
}
