//go:build e2e

package page

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	keyboard "github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a page in a real Chromium, and what the browser had to say of it.
type browser struct {
	t        *testing.T
	ctx      context.Context
	mu       sync.Mutex
	requests []string // other than for the page itself
	trouble  []string // exceptions and messages of the console
}

// shared is the one Chromium of all tests, which the first of them starts.
var shared struct {
	once sync.Once
	ctx  context.Context
	stop context.CancelFunc
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

// start starts Chromium, which finds no host but this one.
func start(program string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.Flag("window-size", "1280,800"), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...) // it outlives the test that starts it
	ctx, end := chromedp.NewContext(allocator)
	shared.ctx, shared.stop = ctx, func() { end(); stop() }
}

// open opens a page in a window without memory of other ones. At the end of the test the page must have asked for
// nothing, and the console must be empty.
func open(t *testing.T, address string) *browser {
	t.Helper()
	program := chromium(t)
	shared.once.Do(func() { start(program) })
	if err := chromedp.Do(shared.ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	ctx, cancel := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) { b.listen(address, event) }); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	b.media("", nil)
	b.do(chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("#toolbar")))
	t.Cleanup(b.quiet)
	return b
}

// chromium finds the browser. Without it these tests prove nothing, so they fail.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium on this machine: scripts/setup.sh test installs it")
	return ""
}

func (b *browser) listen(address string, event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		url, _, _ := strings.Cut(e.Request.URL, "#")
		if page, _, _ := strings.Cut(address, "#"); url != page && !strings.HasPrefix(url, "data:") {
			b.requests = append(b.requests, e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.trouble = append(b.trouble, "an exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.trouble = append(b.trouble, "console."+string(e.Type))
	case *log.EventEntryAdded:
		b.trouble = append(b.trouble, e.Entry.Text)
	}
}

func (b *browser) quiet() {
	b.do(chromedp.Evaluate[chromedp.Void]("undefined")) // what was said before it has been heard
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		b.t.Errorf("the page asks for %s", r)
	}
	for _, m := range b.trouble {
		b.t.Errorf("the console has %s", m)
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// call gives the browser a command that is no action.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

// keys presses keys, as a person does.
func (b *browser) keys(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

// press presses a key that the page may take for itself: the browser makes no text of it then.
func (b *browser) press(key, code, text string, number int64) {
	b.t.Helper()
	for _, kind := range []keyboard.DispatchKeyEventType{keyboard.DispatchKeyEventTypeKeyDown, keyboard.DispatchKeyEventTypeKeyUp} {
		call(b, keyboard.DispatchKeyEvent, keyboard.DispatchKeyEventParams{Type: kind, Key: key, Code: code, Text: text, WindowsVirtualKeyCode: number})
	}
}

func (b *browser) slash() { b.t.Helper(); b.press("/", "Slash", "/", 191) }
func (b *browser) enter() { b.t.Helper(); b.press("Enter", "Enter", "\r", 13) }

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// media has the page see a medium ("" for the screen) and what people have told their system, besides that nothing moves.
func (b *browser) media(medium string, features map[string]string) {
	b.t.Helper()
	params := emulation.SetEmulatedMediaParams{Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}}
	for name, value := range features {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	call(b, emulation.SetEmulatedMedia, params)
}

// eval returns the value of an expression of the page; a promise's when it is kept.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%v in %s", err, expression)
	}
	return v
}

// wait returns once an expression of the page is true.
func (b *browser) wait(expression string) {
	b.t.Helper()
	eval[bool](b, `new Promise(done => { const look = () => (`+expression+`) ? done(true) : requestAnimationFrame(look); look(); })`)
}

// want compares what the page says with what it should say.
func (b *browser) want(what, expression, want string) {
	b.t.Helper()
	if got := eval[string](b, expression); got != want {
		b.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// file writes a page and returns its address on the disk.
func file(t *testing.T, in Input) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(path, []byte(render(t, in)), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}
