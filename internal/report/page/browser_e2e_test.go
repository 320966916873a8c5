//go:build e2e

package page

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	visible = `Array.from(document.querySelectorAll('tbody tr:not(.group)')).filter(r => r.checkVisibility()).map(r => r.cells[0].firstElementChild.textContent).join(' ')`
	focus   = `document.activeElement.id || document.activeElement.tagName`
	shown   = `document.getElementById('shown').textContent`
)

// Typing filters at once, by release and by kernel, with + and ~ as tags write them; the address keeps the query.
func TestE2ESearch(t *testing.T) {
	b := open(t, file(t, input(sixty(t))))
	b.want("at first", shown, "61 releases")
	b.slash()
	b.want("after /", focus, "query")
	b.keys("4.21.7")
	b.want("by release", visible, "4.21.7")
	b.want("the count", shown, "1 of 61 releases")
	b.want("the address", `location.hash`, "#4.21.7")
	b.keys("\x1b")
	b.want("after Escape", shown, "61 releases")
	b.want("the address", `location.hash`, "")
	b.keys("5.14.0-652.42.1.EL9_10")
	b.want("by kernel", visible, "4.22.11 4.22.10")
	b.keys(" 4.22.10")
	b.want("by both", visible, "4.22.10")
	b.keys(" nothing")
	b.want("nothing", visible, "")
	b.want("the way back", `document.getElementById('empty').checkVisibility() + ''`, "true")
	b.click("#clear")
	b.want("after the button", shown, "61 releases")
	b.click("#only")
	b.want("missing only", visible, "4.23.0-rc.1 4.22.19 4.22.18 4.21.19 4.21.18 4.20.19 4.20.18")
}

// An address with a query opens the page with it, from a web server too, which is asked once.
func TestE2EAddress(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		if err := Write(w, input(sixty(t))); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	b := open(t, server.URL+"/#4.20.16")
	b.want("from the address", visible, "4.20.16")
	b.want("in the box", `document.getElementById('query').value`, "4.20.16")
	eval[string](b, `location.hash = '#4.22.3'`)
	b.wait(visible + ` === '4.22.3'`)
	eval[string](b, `location.hash = '#%E0%A4%A'`) // not UTF-8
	b.wait(visible + ` === ''`)
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 {
		t.Errorf("the server was asked for %q", asked)
	}
}

// All of it works without a mouse.
func TestE2EKeyboard(t *testing.T) {
	b := open(t, file(t, input(sixty(t))))
	b.slash()
	b.keys("4.22.1")
	b.enter()
	b.want("Enter goes to the first cell", focus, "c1-0-0") // 4.22.19
	for _, step := range []struct{ key, name, want string }{
		{"\u0303", "right", "c1-0-1"}, {"\u0303", "right", "c1-0-2"}, {"\u0303", "right at the end", "c1-0-2"},
		{"\u0301", "down", "c1-1-2"}, {"\u0302", "left", "c1-1-1"}, {"\u0304", "up", "c1-0-1"},
		{"\u0306", "Home", "c1-0-0"}, {"\u0305", "End", "c1-0-2"}, {"\u0304", "up to the search", "query"}, {"\u0301", "down to the cells", "c1-0-0"},
	} {
		b.keys(step.key)
		b.want(step.name, focus, step.want)
	}
	b.want("one way in with Tab", `document.querySelectorAll('#grid button[tabindex="0"]').length + ''`, "1")
	b.enter()
	b.want("Enter opens", `document.getElementById('details').open + ''`, "true")
	b.want("the heading", `document.getElementById('what').textContent`, "OpenShift 4.22.19, driver 2.24.7.0")
	b.want("the heading is read", focus, "what")
	b.keys("\t")
	b.want("Tab stays inside", `document.getElementById('details').contains(document.activeElement) + ''`, "true")
	b.keys("\x1b")
	b.want("Escape closes", `document.getElementById('details').open + ''`, "false")
	b.want("back to the cell", focus, "c1-0-0")
	b.want("the filter stays", `document.getElementById('query').value`, "4.22.1")
}

// A cell says what it is to those who do not see it, and why.
func TestE2EDetails(t *testing.T) {
	b := open(t, file(t, input(sixty(t))))
	for id, want := range map[string]string{
		"c0-0-0": "Unknown its Driver Toolkit is gone from the registry", "c1-0-2": "Missing not built yet", "c1-0-0": "Ready",
	} {
		b.want("cell "+id, `document.getElementById('`+id+`').textContent`, want)
	}
	b.want("its name", `document.getElementById('c1-0-2').getAttribute('aria-labelledby').split(' ').map(i => document.getElementById(i).textContent).join(' ')`,
		"2.28.0.0 4.22.19 5.14.0-652.66.1.el9_10.x86_64  Missing not built yet")
	b.want("heads of rows and columns", `[...new Set(Array.from(document.querySelectorAll('#grid th'), h => h.scope))].join(' ')`, "col rowgroup row")
	b.click("#c1-0-2")
	b.want("a missing one", `document.querySelector('#images .verdict').textContent.trim()`, "Missing not built yet")
	b.want("nothing to copy", `document.querySelectorAll('#images .copy').length + ''`, "0")
	b.click("#close")
	b.click("#c1-0-0")
	b.want("a ready one", `document.querySelector('#images dl').innerText.includes('4.22.18, 4.22.19') + ''`, "true")
	b.want("things to copy", `Array.from(document.querySelectorAll('#images .copy button'), b => b.getAttribute('aria-label')).join(', ')`,
		"Copy the pull reference, Copy the DeviceConfig, Copy the Module")
}

// The buttons copy, with the browser's clipboard and, where there is none, in the old way.
func TestE2ECopy(t *testing.T) {
	v := sixty(t)
	in := input(v)
	newest := v.Images[29] // of the first driver, for 4.22.18 and 4.22.19
	for name, clipboard := range map[string]string{
		"clipboard": `window.copied = ''; Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}})`,
		"old way":   `window.copied = ''; Object.defineProperty(navigator, 'clipboard', {value: undefined}); document.addEventListener('copy', () => { window.copied = document.activeElement.value; })`,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, file(t, in))
			eval[string](b, `(() => { `+clipboard+`; return ''; })()`)
			b.click("#c1-0-0")
			config, err := in.DeviceConfig(newest.Driver)
			if err != nil {
				t.Fatal(err)
			}
			module, err := in.Module(newest.Driver)
			if err != nil {
				t.Fatal(err)
			}
			for kind, want := range map[string]string{"pull": newest.Pull, "deviceConfig": config, "module": module} {
				b.click(`[data-copy=` + kind + `] button`)
				b.wait(`document.querySelector('[data-copy=` + kind + `] button').textContent === 'Copied'`)
				b.want(kind, `window.copied`, want)
				b.want("it is said", `document.getElementById('said').textContent.startsWith('Copied the ') + ''`, "true")
			}
		})
	}
}

// Where cannot copy any image, the text is selected for the person's own keys.
func TestE2ECopyRefused(t *testing.T) {
	b := open(t, file(t, input(sixty(t))))
	eval[string](b, `(() => { Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject(new Error('no'))}}); document.execCommand = () => false; return ''; })()`)
	b.click("#c1-0-0")
	b.click("[data-copy=pull] button")
	b.wait(`document.querySelector('[data-copy=pull] button').textContent === 'Selected'`)
	b.want("the selection", `getSelection().toString() === document.querySelector('[data-copy=pull] pre').textContent ? 'all' : getSelection().toString()`, "all")
}

// The page follows the system's theme until it is told another one, which it remembers. Text has the contrast that
// WCAG 2 asks for (4.5) in both.
func TestE2EThemes(t *testing.T) {
	address := file(t, input(sixty(t)))
	b := open(t, address)
	const back = `getComputedStyle(document.body).backgroundColor`
	light := eval[string](b, back)
	b.media("", map[string]string{"prefers-color-scheme": "dark"})
	dark := eval[string](b, back)
	if light == dark {
		t.Fatalf("dark and light have the background %s", dark)
	}
	checkContrast(b, "dark")
	b.want("the button", `document.getElementById('theme').textContent`, "Light")
	b.click("#theme")
	b.want("told to be light", back, light)
	checkContrast(b, "light")
	b.do(chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#toolbar")))
	b.want("remembered", back, light)
}

// contrast lists the texts of the table and the summary that are too faint, over the background that is theirs.
const contrast = `(() => {
  const ctx = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const paint = (colors) => { ctx.clearRect(0, 0, 1, 1); for (const c of colors) { ctx.fillStyle = c; ctx.fillRect(0, 0, 1, 1); } return ctx.getImageData(0, 0, 1, 1).data; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const faint = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility() || e.classList.contains('vh') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const backs = [];
    for (let p = e; p; p = p.parentElement) backs.unshift(getComputedStyle(p).backgroundColor);
    const a = light(paint(backs)), b = light(paint([...backs, getComputedStyle(e).color]));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
  }
  return [...faint].join(', ');
})()`

func checkContrast(b *browser, theme string) {
	b.t.Helper()
	b.want("too faint in the "+theme+" theme", contrast, "")
}

// 200 releases by 6 drivers are filtered and laid out within 100 ms of a key. Of a text's times the least counts, which is
// what the page takes where the machine has nothing else to do; of the texts the slowest.
func TestE2EFilterTime(t *testing.T) {
	const limit = 100.0
	v := withGaps(t, fixture(t, []string{"2.20.1.0", "2.21.3.0", "2.22.2.0", "2.24.7.0", "2.26.5.0", "2.28.0.0"}, 4, 50))
	b := open(t, file(t, input(v)))
	b.want("releases", shown, "201 releases")
	slowest := 0.0
	for text, times := range eval[map[string][]float64](b, `(() => {
  const box = document.getElementById('query'), all = {};
  for (let round = 0; round < 15; round++) {
    for (const text of ['4', '4.2', '4.21', '4.21.3', 'x', '5.14.0-6', 'el9_8', '']) {
      const start = performance.now();
      box.value = text;
      box.dispatchEvent(new Event('input'));
      document.body.getBoundingClientRect();
      (all[text] ??= []).push(performance.now() - start);
    }
  }
  return all;
})()`) {
		slices.Sort(times)
		t.Logf("filter of 201 x 6 by %q: %.1f to %.1f ms, median %.1f ms", text, times[0], times[len(times)-1], times[len(times)/2])
		slowest = max(slowest, times[0])
	}
	if slowest > limit {
		t.Errorf("a filter takes %.1f ms, over %v ms", slowest, limit)
	}
}

// Text that looks like markup or script stays text.
func TestE2EHostile(t *testing.T) {
	for _, text := range nasty {
		in := hostile(t, text)
		b := open(t, file(t, in))
		b.click("#c0-0-0")
		b.want("nothing of it runs", `typeof window.broken`, "undefined")
		b.want("the reason is text", `document.querySelector('#images .verdict [data-text=reason]').textContent`, text)
	}
}

// Small screens have no bar at the bottom for what is beside the screen.
func TestE2ESmall(t *testing.T) {
	v := withGaps(t, fixture(t, []string{"2.20.1.0", "2.21.3.0", "2.22.2.0", "2.24.7.0", "2.26.5.0", "2.28.0.0"}, 2, 10))
	b := open(t, file(t, input(v)))
	for _, width := range []int64{360, 390, 768, 1024, 1440} {
		b.do(chromedp.EmulateViewport(width, 800))
		if over := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("at a width of %d the page is %v wider", width, over)
		}
	}
}

// Printed, the page has what it tells and none of its controls.
func TestE2EPrint(t *testing.T) {
	b := open(t, file(t, input(sixty(t))))
	b.media("print", nil)
	b.want("controls", `['toolbar', 'theme'].filter(i => document.getElementById(i).checkVisibility()).join()`, "")
	b.want("the table", `document.getElementById('grid').checkVisibility() + ''`, "true")
}

// The pictures of the documents. Make them with PAGE_PICTURES=/absolute/path; docs/images has the first two.
func TestE2EPictures(t *testing.T) {
	dir := os.Getenv("PAGE_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	address := file(t, input(sixty(t)))
	for _, shot := range []struct {
		name, theme   string
		width, height int64
		open          string
	}{
		{"page-light.png", "light", 1280, 760, ""}, {"page-dark.png", "dark", 1280, 760, ""},
		{"page-details.png", "light", 1280, 900, "c1-1-0"}, {"page-tablet.png", "light", 800, 1000, ""}, {"page-narrow.png", "dark", 390, 844, ""}, {"page-narrow-details.png", "light", 390, 844, "c1-1-0"},
	} {
		b := open(t, address)
		b.do(chromedp.EmulateViewport(shot.width, shot.height))
		b.media("", map[string]string{"prefers-color-scheme": shot.theme})
		if shot.open != "" {
			b.click("#" + shot.open)
		}
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, shot.name), png, 0o644); err != nil {
			t.Fatal(err)
		}
		if len(png) < 10_000 {
			t.Errorf("%s is empty", shot.name)
		}
	}
}
