package rpm

import (
	"bytes"
	"strings"
	"testing"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// R3.1: a file that was cut short or damaged is told from one that was changed, in packages of old and of new rpm.
func TestCheckDamage(t *testing.T) {
	old := rpmtest.Package([]rpmtest.Tag{rpmtest.StringTag(1000, "old")}, bytes.Repeat([]byte("payload "), 100))
	packages := map[string][]byte{"old": must(rpmtest.Sign(old)), "new": must(rpmtest.Sign(pack(t, testFiles)))}
	for name, pkg := range packages {
		t.Run(name, func(t *testing.T) {
			damaged := bytes.Clone(pkg)
			damaged[len(damaged)-9] ^= 1
			for _, tt := range []struct {
				data []byte
				want string
			}{{pkg, ""}, {pkg[:len(pkg)-1], "bytes, "}, {append(bytes.Clone(pkg), 0), "bytes, "}, {damaged, "the digest is"}} {
				p, err := Read(bytes.NewReader(tt.data), int64(len(tt.data)))
				if err != nil {
					t.Fatal(err)
				}
				err = p.CheckDamage(t.Context())
				if tt.want == "" && err == nil {
					continue
				}
				if err == nil || !strings.Contains(err.Error(), "its payload is damaged: ") ||
					!strings.Contains(err.Error(), tt.want) {
					t.Errorf("%d bytes of %d: got %v, want an error with %q", len(tt.data), len(pkg), err, tt.want)
				}
			}
		})
	}
}
