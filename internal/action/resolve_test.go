package action

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A typo leads to what was meant, and what is nothing like it to nothing.
func TestNearest(t *testing.T) {
	have := []string{
		"5.14.0-427.68.2.el9_4.x86_64", "5.14.0-570.96.1.el9_6.x86_64", "6.12.0-55.43.1.el10_0.x86_64", "5.14.0-570.86.1.el9_6.x86_64",
		"5.14.0-570.96.1.el9_6.x86_64", "", "4.20.16", "4.20.1", "4.21.0",
	}
	for typed, want := range map[string][]string{
		"5.14.0-570.69.1.el9_6.x86_64":       {"5.14.0-570.86.1.el9_6.x86_64", "5.14.0-570.96.1.el9_6.x86_64"},
		"5,14.0-570.96.1.el9_6.x86_64":       {"5.14.0-570.96.1.el9_6.x86_64", "5.14.0-570.86.1.el9_6.x86_64"},
		"4.20.l6":                            {"4.20.16"},
		"5.14.0-570.96.1.el9_6":              {"5.14.0-570.96.1.el9_6.x86_64"},
		"foo":                                {},
		"":                                   {},
		strings.Repeat("5.14.0-570.96", 100): {},
	} {
		if got := nearest(typed, have); !slices.Equal(got, want) {
			t.Errorf("nearest(%q) = %q, want %q", typed, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"", "ab", 2}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"69", "96", 2}} {
		if got := edits(tt.a, tt.b); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// R8.2: whoever writes the nodes may hang; a signal does not wait for it.
func TestNodesInterrupted(t *testing.T) {
	silent, writer := io.Pipe()
	defer writer.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	signal := errors.New("interrupted")
	stop(signal)
	if _, err := ResolveNodes(ctx, Env{}, ResolveRequest{}, silent); !errors.Is(err, signal) {
		t.Errorf("got %v", err)
	}
}

// FuzzParseNodes: whatever a cluster says, nodes have a kernel, and names that do no harm.
func FuzzParseNodes(f *testing.F) {
	f.Add([]byte(`{"kind": "List", "items": [{"metadata": {"name": "a\u001b[2J"}, "status": {"nodeInfo": {"kernelVersion": "5.14.0-1.el9.x86_64", "architecture": "amd64"}}}]}`))
	f.Add([]byte(`{"kind": "Node", "status": {"nodeInfo": {"kernelVersion": "x"}}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := parseNodes(data)
		if err != nil {
			return
		}
		if len(nodes) == 0 {
			t.Error("no node and no error")
		}
		for _, n := range nodes {
			if n.Kernel.IsZero() || strings.ContainsFunc(n.Name+n.Architecture+n.System+n.Other, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%+v", n)
			}
		}
	})
}
