package page

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/version"
)

const repository = "public.ecr.aws/example/neuron-kmod"

var made = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

// fixture has some releases of each of some minors, two releases to a kernel, for some drivers: all ready.
func fixture(t testing.TB, drivers []string, minors, releases int) *inventory.Inventory {
	t.Helper()
	v := &inventory.Inventory{Repository: repository}
	for _, d := range drivers {
		driver := must(t, version.ParseDriver, d)
		v.Drivers = append(v.Drivers, driver)
		for minor := range minors {
			for n := 0; n < releases; n += 2 {
				i := inventory.Image{
					Driver: driver, State: inventory.Ready, Size: 801_000 + int64(n)*517, Created: made.AddDate(0, 0, n-40),
					Kernel: must(t, kernel.Parse, fmt.Sprintf("5.14.0-%d.%d.1.el9_%d.x86_64", 570+41*minor, 12+n*3, 6+2*minor)),
				}
				for r := n; r < min(n+2, releases); r++ {
					i.Releases = append(i.Releases, must(t, version.ParseOCP, fmt.Sprintf("4.%d.%d", 20+minor, r)))
				}
				i.Tag = d + "-" + i.Kernel.Tag()
				i.Digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(i.Tag)))
				i.Pull = repository + "@" + i.Digest
				v.Images = append(v.Images, i)
			}
		}
	}
	return v
}

func must[T any](t testing.TB, parse func(string) (T, error), s string) T {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// withGaps takes images out: of the newest driver the newest kernel of each minor, and one release's kernel.
func withGaps(t testing.TB, v *inventory.Inventory) *inventory.Inventory {
	t.Helper()
	newest := v.Drivers[len(v.Drivers)-1]
	for n := range v.Images {
		i := &v.Images[n]
		last := n+1 == len(v.Images) || v.Images[n+1].Driver != i.Driver || v.Images[n+1].Releases[0].Minor() != i.Releases[0].Minor()
		if i.Driver == newest && last {
			*i = inventory.Image{Driver: i.Driver, Kernel: i.Kernel, Releases: i.Releases, Tag: i.Tag, State: inventory.Missing, Reason: "not built yet"}
		}
	}
	for _, d := range v.Drivers {
		v.Images = append(v.Images, inventory.Image{
			Driver: d, State: inventory.Unknown, Releases: []version.OCP{must(t, version.ParseOCP, "4.23.0-rc.1")},
			Reason: "its Driver Toolkit is gone from the registry",
		})
	}
	return v
}

// sixty is the size of today's work: three drivers, three minors.
func sixty(t testing.TB) *inventory.Inventory {
	return withGaps(t, fixture(t, []string{"2.24.7.0", "2.26.5.0", "2.28.0.0"}, 3, 20))
}

func input(v *inventory.Inventory) Input {
	return Input{
		Inventory: v, Made: made,
		DeviceConfig: func(d version.Driver) (string, error) {
			return "kind: DeviceConfig\nspec:\n  driversImage: \"" + v.Repository + ":" + d.String() + "\"\n", nil
		},
		Module: func(d version.Driver) (string, error) {
			return "kind: Module\nspec:\n  image: \"" + v.Repository + ":" + d.String() + "-$KERNEL_VERSION\"\n", nil
		},
	}
}

func render(t testing.TB, in Input) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
