package page

import (
	"encoding/json"
	"errors"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/version"
)

func viewOf(t *testing.T, in Input) *view {
	t.Helper()
	v, err := newView(in)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A manifest that cannot be made is an error, and no page without its button.
func TestWriteWithoutManifest(t *testing.T) {
	broken := errors.New("no such repository")
	in := input(fixture(t, []string{"2.28.0.0"}, 1, 1))
	in.Module = func(version.Driver) (string, error) { return "", broken }
	var b strings.Builder
	if err := Write(&b, in); !errors.Is(err, broken) || b.Len() > 0 {
		t.Errorf("got %v and %d bytes", err, b.Len())
	}
}

// The newest releases come first, in groups by minor; what the matrix does not have for a driver is an empty cell.
func TestGrid(t *testing.T) {
	v := fixture(t, []string{"2.24.7.0", "2.28.0.0"}, 2, 2)
	v.Images = v.Images[:3] // 4.21 is not planned for the second driver
	got := viewOf(t, input(v))
	var rows []string
	for _, g := range got.Groups {
		for _, r := range g.Rows {
			line := g.Minor + " " + r.Release + " " + strings.Join(r.Kernels, "+")
			for _, c := range r.Cells {
				line += " [" + c.Label + " " + c.Images + "]"
			}
			rows = append(rows, line)
		}
	}
	want := []string{
		"4.21 4.21.1 5.14.0-611.12.1.el9_8.x86_64 [Ready 1] [ ]",
		"4.21 4.21.0 5.14.0-611.12.1.el9_8.x86_64 [Ready 1] [ ]",
		"4.20 4.20.1 5.14.0-570.12.1.el9_6.x86_64 [Ready 0] [Ready 2]",
		"4.20 4.20.0 5.14.0-570.12.1.el9_6.x86_64 [Ready 0] [Ready 2]",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(tally{Ready: 6}, got.All); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if got.Columns[0].Count.Ready != 4 || got.Columns[1].Count.Ready != 2 || got.Groups[0].Count.Ready != 2 {
		t.Errorf("columns %+v, groups %+v", got.Columns, got.Groups)
	}
	if len(got.Data.Texts) != 4 {
		t.Errorf("%d manifests, want 2 for each of 2 drivers", len(got.Data.Texts))
	}
}

// A release with two kernels is as bad as the worse of its images.
func TestTwoKernels(t *testing.T) {
	v := fixture(t, []string{"2.28.0.0"}, 1, 1)
	second := v.Images[0]
	second.Kernel = must(t, kernel.Parse, "6.12.0-55.el10.x86_64")
	second.State, second.Reason, second.Digest, second.Pull = inventory.Missing, "not built yet", "", ""
	v.Images = append(v.Images, second)
	r := viewOf(t, input(v)).Groups[0].Rows[0]
	want := cell{State: inventory.Missing, Label: "Missing", Reason: "not built yet", Images: "0 1"}
	if diff := cmp.Diff([]cell{want}, r.Cells); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	if len(r.Kernels) != 2 {
		t.Errorf("kernels %q", r.Kernels)
	}
}

// The summary spells out the gaps of the newest releases and counts the others.
func TestGaps(t *testing.T) {
	got := viewOf(t, input(sixty(t)))
	var names []string
	for _, g := range got.Gaps {
		names = append(names, g.Releases+" "+g.Kernel+" "+g.Drivers+": "+g.Reason)
	}
	want := []string{
		"4.23.0-rc.1  2.24.7.0, 2.26.5.0, 2.28.0.0: its Driver Toolkit is gone from the registry",
		"4.22.18, 4.22.19 5.14.0-652.66.1.el9_10.x86_64 2.28.0.0: not built yet",
		"4.21.18, 4.21.19 5.14.0-611.66.1.el9_8.x86_64 2.28.0.0: not built yet",
	}
	if diff := cmp.Diff(want, names); diff != "" || got.MoreGaps != 1 {
		t.Errorf("and %d more; gaps (-want +got):\n%s", got.MoreGaps, diff)
	}
}

var block = regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)

// The policy names the script and the style of the page and lets nothing else run.
func TestPolicy(t *testing.T) {
	text := render(t, input(sixty(t)))
	blocks := block.FindAllStringSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of style and script, want 2", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(html.UnescapeString(text), b[1]+"-src '"+hash(b[2])+"'") {
			t.Errorf("the policy does not name the %s as it is in the page", b[1])
		}
	}
	if strings.Contains(policy(), "unsafe") || !strings.HasPrefix(policy(), "default-src 'none'") {
		t.Errorf("policy %s", policy())
	}
	for _, attribute := range []string{" style=", " onclick=", "javascript:", `src="`, "https://"} {
		if strings.Contains(block.ReplaceAllString(text, ""), attribute) {
			t.Errorf("the page has %s", attribute)
		}
	}
}

// The same input gives the same bytes: a page that did not change is not published again.
func TestReproducible(t *testing.T) {
	if a, b := render(t, input(sixty(t))), render(t, input(sixty(t))); a != b {
		t.Error("two pages of one input differ")
	}
}

// nasty are texts that would be markup or script if the page took them for that.
var nasty = []string{
	`</script><script>window.broken=1</script>`, `<img src=x onerror="window.broken=1">`, `"><svg onload=window.broken=1>`,
	`' autofocus onfocus='window.broken=1`, `<!-- <script>`, `{{.Policy}}`, "\u2028\u2029\x00`${window.broken=1}`", `]]>`, `\u003c/script>`,
}

// hostile puts a text wherever a page shows foreign text.
func hostile(t testing.TB, text string) Input {
	t.Helper()
	v := fixture(t, []string{"2.28.0.0"}, 1, 4)
	v.Repository = text
	v.Images[0].Pull, v.Images[0].Tag, v.Images[0].Digest = text, text, text
	v.Images[1].State, v.Images[1].Reason = inventory.Missing, text
	v.AddUnplanned(inventory.Image{Driver: v.Drivers[0], Tag: text})
	in := input(v)
	in.Module = func(version.Driver) (string, error) { return text, nil }
	return in
}

// checkEscaped holds the tags of a page with a foreign text against those of a page with a harmless one.
func checkEscaped(t *testing.T, want []string, text string) {
	t.Helper()
	got := tags(render(t, hostile(t, text)))
	if !slices.Equal(want, got) {
		t.Errorf("%q changes the page's markup:\n%s", text, cmp.Diff(want, got))
	}
}

var (
	tag     = regexp.MustCompile(`<[!/a-zA-Z][^>]*>`)
	quoted  = regexp.MustCompile(`"[^"]*"`)
	jsonTag = regexp.MustCompile(`(?s)(<script type="application/json" id="data">)(.*?)(</script>)`)
)

// tags are a page's tags without the values of their attributes, which are all in double quotes.
func tags(text string) []string {
	text = block.ReplaceAllString(text, "")
	return tag.FindAllString(quoted.ReplaceAllString(text, `""`), -1)
}

func TestEscaped(t *testing.T) {
	harmless := tags(render(t, hostile(t, "harmless")))
	for _, text := range nasty {
		checkEscaped(t, harmless, text)
		m := jsonTag.FindStringSubmatch(render(t, hostile(t, text)))
		var d data
		if err := json.Unmarshal([]byte(m[2]), &d); err != nil {
			t.Fatalf("%q: the data is not JSON: %v", text, err)
		}
		if got := d.Images[1].Reason; got != text {
			t.Errorf("the data has %q for %q", got, text)
		}
	}
}

func FuzzEscaped(f *testing.F) {
	for _, text := range nasty {
		f.Add(text)
	}
	harmless := tags(render(f, hostile(f, "harmless")))
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" { // some parts are left out
			return
		}
		checkEscaped(t, harmless, text)
	})
}

// Without images there is still a page.
func TestEmpty(t *testing.T) {
	text := render(t, Input{Inventory: &inventory.Inventory{Repository: repository, Drivers: []version.Driver{}}, Made: made})
	if !strings.Contains(text, "No release is planned.") {
		t.Error("the page does not say that nothing is planned")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteFails(t *testing.T) {
	if err := Write(fullDisk{}, input(sixty(t))); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
}
