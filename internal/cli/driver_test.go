package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/rpmpack"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// R3.1: the command shows a package that the named key has signed, and refuses it without that key; no service has
// failed.
func TestDriver(t *testing.T) {
	key, err := rpmtest.FixedKey("Fork")
	if err != nil {
		t.Fatal(err)
	}
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{Name: "aws-neuronx-dkms", Version: "2.24.7.0", Release: "dkms"})
	if err != nil {
		t.Fatal(err)
	}
	top := "/usr/src/aws-neuronx-2.24.7.0/"
	r.AddFile(rpmpack.RPMFile{Name: top + "Kbuild", Body: []byte("obj-m += neuron.o\n")})
	r.AddFile(rpmpack.RPMFile{Name: top + "neuron_pci.c", Body: []byte("#define TRN2_DEVICE_ID0 0x7364\n")})
	var pkg bytes.Buffer
	if err := r.Write(&pkg); err != nil {
		t.Fatal(err)
	}
	signed, err := key.SignV3(pkg.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Armoured()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key.asc")
	for name, data := range map[string][]byte{"aws-neuronx-dkms-2.24.7.0.noarch.rpm": signed, "key.asc": public} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"the key":      {[]string{"2.24.7.0", "--driver-key", keyFile}, 0, "0x7364 TRN2", ""},
		"JSON":         {[]string{"2.24.7.0", "--driver-key", keyFile, "-o", "json"}, 0, key.Fingerprint(), ""},
		"AWS's key":    {[]string{"2.24.7.0"}, 1, "", "which is not 00FA2C1079260870A76D2C285749CAD8646D9185"},
		"no version":   {[]string{"all"}, 2, "", "not a driver version"},
		"another form": {[]string{"2.24.7.0", "-o", "table"}, 2, "", "use text or json"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := Main(t.Context(), Streams{
				Args: append([]string{"driver", "--driver-source", dir}, tt.args...), Stdout: &stdout, Stderr: &stderr,
				Getenv: func(name string) string {
					return map[string]string{"HOME": dir, "TMPDIR": dir}[name]
				},
			})
			told := strings.Contains(stdout.String(), tt.stdout) && strings.Contains(stderr.String(), tt.stderr)
			if code != tt.code || !told {
				t.Errorf("exit code %d, want %d with %q and %q\n%s%s", code, tt.code, tt.stdout, tt.stderr, &stdout, &stderr)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "neuron-kmod-driver-*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
