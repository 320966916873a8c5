package github

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
)

// R7.3: what is done about each thing that an interrupted run can leave.
func TestSteps(t *testing.T) {
	want := wanted("notes", "busybox", "source")
	right := func(id int64, a Asset, name string) asset {
		return asset{id: id, name: name, whole: true, size: a.Size, digest: a.Digest}
	}
	busybox, source := want.Assets[0], want.Assets[1]
	good := []asset{right(1, busybox, busybox.Name), right(2, source, source.Name)}
	stale := asset{id: 3, name: source.Name, whole: true, size: 3, digest: sum("old")}
	tests := map[string]struct {
		assets []asset
		drafts []int64
		want   []string
	}{
		"all right":                     {assets: good},
		"drafts":                        {assets: good, drafts: []int64{7, 8}, want: []string{"clean up neuron-driver-2.24.7.0 (draft)", "clean up neuron-driver-2.24.7.0 (draft)"}},
		"somebody's, with a like name":  {assets: append(good[:2:2], asset{id: 9, name: "neuron-kmod-new-notes.txt"})},
		"missing":                       {assets: good[:1], want: []string{"add source.tar.gz"}},
		"another size, the same digest": {assets: []asset{good[0], {id: 2, name: source.Name, whole: true, size: 1, digest: source.Digest}}, want: []string{"replace source.tar.gz"}},
		"half":                          {assets: []asset{good[0], {id: 2, name: source.Name, size: source.Size, digest: source.Digest}}, want: []string{"replace source.tar.gz"}},
		"uploaded, not in its place": {
			assets: []asset{good[0], stale, right(4, source, "neuron-kmod-new-abcdefgh-source.tar.gz")},
			want:   []string{"replace source.tar.gz with 4"},
		},
		"several uploads, some not right": {
			assets: []asset{
				good[0], stale, {id: 4, name: "neuron-kmod-new-abcdefgh-source.tar.gz"},
				right(5, source, "neuron-kmod-new-bbcdefgh-source.tar.gz"), right(6, busybox, "neuron-kmod-new-cbcdefgh-source.tar.gz"),
			},
			want: []string{
				"replace source.tar.gz with 5", "clean up neuron-kmod-new-abcdefgh-source.tar.gz 4", "clean up neuron-kmod-new-cbcdefgh-source.tar.gz 6",
			},
		},
		"put kindOld, not replaced": {
			assets: []asset{good[0], right(4, busybox, "neuron-kmod-old-abcdefgh-source.tar.gz"), right(5, source, "neuron-kmod-new-abcdefgh-source.tar.gz")},
			want:   []string{"add source.tar.gz with 5 for 4"},
		},
		"put aside more than once": {
			assets: []asset{good[0], right(6, busybox, "neuron-kmod-old-abcdefgh-source.tar.gz"), right(5, busybox, "neuron-kmod-old-bbcdefgh-source.tar.gz")},
			want:   []string{"add source.tar.gz for 6", "clean up neuron-kmod-old-bbcdefgh-source.tar.gz 5"},
		},
		"put aside and replaced": {
			assets: append(good[:2:2], asset{id: 4, name: "neuron-kmod-old-abcdefgh-source.tar.gz", whole: true}),
			want:   []string{"clean up neuron-kmod-old-abcdefgh-source.tar.gz 4"},
		},
		"put aside what is no longer wanted": {
			assets: append(good[:2:2], asset{id: 4, name: "neuron-kmod-old-abcdefgh-busybox-1.35.tar.gz", whole: true}, asset{id: 5, name: "neuron-kmod-old-bbcdefgh-busybox-1.35.tar.gz", whole: true}),
			want:   []string{"clean up neuron-kmod-old-abcdefgh-busybox-1.35.tar.gz 4", "restore busybox-1.35.tar.gz 5"},
		},
		"half of what is no longer wanted": {
			assets: append(good[:2:2], asset{id: 4, name: "neuron-kmod-new-abcdefgh-busybox-1.35.tar.gz"}, asset{id: 5, name: "neuron-kmod-old-abcdefgh-busybox-1.35.tar.gz"}),
			want:   []string{"clean up neuron-kmod-new-abcdefgh-busybox-1.35.tar.gz 4", "clean up neuron-kmod-old-abcdefgh-busybox-1.35.tar.gz 5"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			have := found{published: &release{name: want.Name, body: want.Body, assets: tt.assets}, drafts: tt.drafts}
			var got []string
			for _, s := range steps(want, have) {
				got = append(got, s.describe())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// describe says what a step does, and with what.
func (s step) describe() string {
	text := s.change.String()
	for _, part := range []struct {
		word string
		id   int64
	}{{" with", s.uploaded}, {" for", s.old}, {"", s.asset}} {
		if part.id != 0 {
			text += part.word + " " + string(rune('0'+part.id))
		}
	}
	return text
}

// Names that assets have for a moment are told from all others, and GitHub does not change them.
func TestTemporaryNames(t *testing.T) {
	for _, kind := range []string{kindNew, kindOld} {
		name := temporaryName(kind, "a-b.tar.gz")
		if k, of := parseTemporaryName(name); k != kind || of != "a-b.tar.gz" || !assetName.MatchString(name) {
			t.Errorf("%q is %q of %q", name, k, of)
		}
	}
	if one, other := temporaryName(kindNew, "a"), temporaryName(kindNew, "a"); one == other {
		t.Error("two runs have the same name")
	}
	for _, name := range []string{"a", "neuron-kmod-new-a", "neuron-kmod-new-abcdefgh-", "neuron-kmod-odd-abcdefgh-a", "x-neuron-kmod-new-abcdefgh-a"} {
		if kind, of := parseTemporaryName(name); kind != "" || of != "" {
			t.Errorf("%q is %q of %q", name, kind, of)
		}
	}
}

// R7.1: notes are the same if a reader sees the same.
func TestSameNotes(t *testing.T) {
	same := [][2]string{
		{"", "\n"}, {"a\nb\n", "a\r\nb"}, {"a  \nb\t\n\n", "a\nb"}, {"a\r\n\r\nb", "a\n\nb\n"},
	}
	for _, pair := range same {
		if !sameNotes(pair[0], pair[1]) || !sameNotes(pair[1], pair[0]) {
			t.Errorf("%q and %q differ", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"a\nb", "a b"}, {" a", "a"}, {"a\n\nb", "a\nb"}, {"a  b", "a b"}} {
		if sameNotes(pair[0], pair[1]) {
			t.Errorf("%q and %q are the same", pair[0], pair[1])
		}
	}
}

// R7.1: what GitHub would refuse or change is refused before anything is sent.
func TestCheck(t *testing.T) {
	good := func() Release { return wanted(strings.Repeat("é", MaxNotes), "busybox", "source") }
	if err := good().check(); err != nil {
		t.Error(err)
	}
	bad := map[string]func(r *Release){
		"no tag":          func(r *Release) { r.Tag = "" },
		"odd tag":         func(r *Release) { r.Tag = "a b" },
		"long notes":      func(r *Release) { r.Body += "x" },
		"odd name":        func(r *Release) { r.Assets[0].Name = "a b" },
		"dot first":       func(r *Release) { r.Assets[0].Name = ".a" },
		"dot last":        func(r *Release) { r.Assets[0].Name = "a." },
		"a passing name":  func(r *Release) { r.Assets[0].Name = temporaryName(kindNew, "a") },
		"twice":           func(r *Release) { r.Assets[0].Name = r.Assets[1].Name },
		"empty":           func(r *Release) { r.Assets[0].Size = 0 },
		"no digest":       func(r *Release) { r.Assets[0].Digest = "" },
		"digest in upper": func(r *Release) { r.Assets[0].Digest = strings.ToUpper(r.Assets[0].Digest) },
		"no type":         func(r *Release) { r.Assets[0].ContentType = "" },
		"no content":      func(r *Release) { r.Assets[0].Open = nil },
	}
	for name, spoil := range bad {
		r := good()
		if spoil(&r); r.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	long := good()
	long.Body += "x"
	if err := long.check(); !strings.Contains(err.Error(), "125001 characters") || fault.Of(err) == "" {
		t.Errorf("error %v, advice %q", err, fault.Of(err))
	}
}
