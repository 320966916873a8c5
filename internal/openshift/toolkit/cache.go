package toolkit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/limit"
)

// Cache remembers kernels by the digest of their DTK image, for ever: a digest's kernel cannot change. It is a
// directory with a small file per digest, which may be removed at any time and shared by concurrent runs. A nil Cache
// remembers nothing.
type Cache struct{ dir string }

// NewCache returns the cache in dir, which need not exist yet.
func NewCache(dir string) *Cache { return &Cache{dir: dir} }

// record is the text of a cache file. It names its digest, so that a file that was copied or renamed is not believed.
type record struct {
	Digest string         `json:"digest"`
	Kernel kernel.Version `json:"kernel"`
}

// maxRecord bounds a cache file.
const maxRecord = 1 << 10

func (c *Cache) path(digest string) string {
	return filepath.Join(c.dir, strings.ReplaceAll(digest, ":", "-")+".json")
}

// get returns the kernel for digest ("sha256:..."). Anything that is not exactly what put writes does not count.
func (c *Cache) get(digest string) (kernel.Version, bool) {
	if c == nil {
		return kernel.Version{}, false
	}
	data, err := limit.ReadFile(c.path(digest), maxRecord)
	if err != nil {
		return kernel.Version{}, false
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.Digest != digest || r.Kernel.String() == "" {
		return kernel.Version{}, false
	}
	return r.Kernel, true
}

// put remembers k for digest. The file appears complete, or not at all.
func (c *Cache) put(digest string, k kernel.Version) error {
	if c == nil {
		return nil
	}
	data, err := json.Marshal(record{Digest: digest, Kernel: k})
	if err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	err = renameio.WriteFile(c.path(digest), append(data, '\n'), 0o644, renameio.WithTempDir(c.dir))
	if err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	return nil
}
