package pipeline

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"neuron-kmod/internal/kmod/engine"
)

// fakeEngine holds images and runs jobs without containers. It enforces what a
// real one does: a job needs an image that is held, and it counts how many are
// on the disk at once.
type fakeEngine struct {
	t  *testing.T
	mu sync.Mutex

	pullError map[string]error                      // by image
	job       func(j engine.Job) error              // replaces compile
	onPull    func(ctx context.Context, img string) // called before a pull ends

	held        map[string]int
	mostHeld    int
	pulls       []string
	jobs        int
	running     int
	mostRunning int
	events      []string
}

func newFakeEngine(t *testing.T) *fakeEngine {
	return &fakeEngine{t: t, held: map[string]int{}, pullError: map[string]error{}}
}

func (e *fakeEngine) event(format string, args ...any) {
	e.events = append(e.events, fmt.Sprintf(format, args...))
}

func (e *fakeEngine) Acquire(ctx context.Context, image string, progress func(done, total int64)) (Lease, error) {
	e.mu.Lock()
	err := e.pullError[image]
	e.event("pull %s", short(image))
	if err == nil {
		e.pulls = append(e.pulls, image)
		e.held[image]++
		e.mostHeld = max(e.mostHeld, len(e.held))
	}
	e.mu.Unlock()
	if err != nil {
		return nil, &engine.PullError{Image: image, Err: err}
	}
	progress(1, 1)
	if e.onPull != nil {
		e.onPull(ctx, image)
	}
	return &fakeLease{e, image}, nil
}

type fakeLease struct {
	engine *fakeEngine
	image  string
}

func (l *fakeLease) Image() string { return l.image }

func (l *fakeLease) Release(context.Context) error {
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	e.event("remove %s", short(l.image))
	if e.held[l.image]--; e.held[l.image] == 0 {
		delete(e.held, l.image)
	}
	return nil
}

func (e *fakeEngine) Run(ctx context.Context, j engine.Job) error {
	e.mu.Lock()
	e.jobs++
	e.running++
	e.mostRunning = max(e.mostRunning, e.running)
	e.event("compile %s", short(j.Image))
	if e.held[j.Image] == 0 {
		e.t.Errorf("job on %s, which is not held", j.Image)
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.running--
		e.mu.Unlock()
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.job != nil {
		return e.job(j)
	}
	return compileFake(j)
}

func (e *fakeEngine) Build(context.Context, engine.BuildSpec) error {
	return errors.New("the fake engine builds no images")
}

// short is the last digit of a stand-in toolkit's digest.
func short(image string) string { return image[len(image)-1:] }

// compileFake leaves what build-module.sh leaves: a module and depmod's files.
func compileFake(j engine.Job) error {
	driver, kernel := j.Args[0], j.Args[1]
	dir := filepath.Join(j.Output, "opt", "lib", "modules", kernel)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := map[string][]byte{"neuron.ko": fakeModule(driver, kernel), "modules.dep": []byte("neuron.ko:\n")}
	for _, name := range []string{"modules.dep.bin", "modules.alias", "modules.alias.bin", "modules.symbols", "modules.symbols.bin",
		"modules.softdep", "modules.devname", "modules.builtin.bin", "modules.builtin.alias.bin"} {
		files[name] = nil
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fakeModule is an ELF object with the .modinfo of a module.
func fakeModule(driver, kernel string) []byte {
	info := strings.Join([]string{"license=GPL", "version=" + driver, "name=neuron", "depends=",
		"vermagic=" + kernel + " SMP preempt mod_unload modversions "}, "\x00") + "\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	const head = 64
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: head,
		Shoff: uint64(head + len(info) + len(names)), Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: head, Size: uint64(len(info)), Addralign: 1},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(head + len(info)), Size: uint64(len(names)), Addralign: 1},
	}
	for _, part := range []any{h, []byte(info), []byte(names), sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err) // a bytes.Buffer and fixed-size values
		}
	}
	return b.Bytes()
}

// before reports whether event a came before event b.
func (e *fakeEngine) before(a, b string) bool {
	ia, ib := slices.Index(e.events, a), slices.Index(e.events, b)
	return ia >= 0 && ib >= 0 && ia < ib
}
