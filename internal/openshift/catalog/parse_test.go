package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/platform/jsonfile"
)

// entry is a catalogue of one entry, with the given values of JSON in place of good ones.
func entry(arch, dtk, version, more string) string {
	or := func(s, good string) string {
		if s == "" {
			return good
		}
		return s
	}
	return "[{\"arch\": " + or(arch, `"x86_64"`) + ",\n\"dtk\": " + or(dtk, `"`+image("a")+`"`) +
		",\n\"version\": " + or(version, `"4.20.16"`) + more + "}]"
}

// dtk is entry with another image.
func dtk(name string) string { return entry("", `"`+name+`"`, "", "") }

// R2.2, R8.1: a catalogue that is not right is refused with its place and the mend.
func TestParseErrors(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	tests := map[string]struct{ in, want string }{
		"truncated":          {sample[:200], "c.json:2:199: the file ends inside an object that starts in line 2, column 3"},
		"empty list":         {"[]", "c.json:1:1: the list of Driver Toolkit images is empty: add at least one"},
		"object":             {"{}", "c.json:1:1: found an object where a list of Driver Toolkit images in [ ] belongs"},
		"null entry":         {"[null]", "c.json:1:2: found null where an object in { } belongs"},
		"unknown key":        {entry("", "", "", `, "kernal": "x"`), `c.json:3:23: unknown key "kernal": the keys are arch, dtk, version, kernel, component`},
		"no arch":            {`[{"dtk": "x", "version": "4.20.16"}]`, `c.json:1:2: the key "arch" is missing`},
		"no dtk":             {`[{"arch": "x86_64", "version": "4.20.16"}]`, `c.json:1:2: the key "dtk" is missing`},
		"no version":         {`[{"arch": "x86_64", "dtk": "` + image("a") + `"}]`, `c.json:1:2: the key "version" is missing`},
		"arch of Go":         {entry(`"amd64"`, "", "", ""), `c.json:1:11: "amd64" is not an architecture: write one of x86_64, aarch64, ppc64le, s390x`},
		"arch null":          {entry("null", "", "", ""), "c.json:1:11: found null where a text"},
		"version is a minor": {entry("", "", `"4.20"`, ""), `c.json:3:12: "4.20" is not an OpenShift version: it has 2 of the 3 numbers`},
		"version with arch":  {entry("", "", `"4.20.16-x86_64"`, ""), `c.json:3:12: "4.20.16-x86_64" is not an OpenShift version`},
		"version a number":   {entry("", "", "4.20", ""), "c.json:3:12: found the number 4.20 where a text belongs: put it in double quotes"},
		"bare version":       {entry("", "", "4.20.16", ""), `c.json:3:16: unexpected ".": put the whole value in double quotes`},
		"no digest":          {dtk("quay.io/a/b"), `c.json:2:8: "quay.io/a/b" has no digest: write REGISTRY/REPOSITORY@sha256:DIGEST`},
		"tag":                {dtk("quay.io/a/b:latest"), `"quay.io/a/b:latest" has no digest`},
		"tag and digest":     {dtk("quay.io/a/b:latest" + digest), "c.json:2:8: an image has a tag or a digest, not both: take out the tag"},
		"scheme":             {dtk("docker://quay.io/a/b" + digest), `starts with a scheme`},
		"short digest":       {dtk("quay.io/a/b@sha256:abc"), `"sha256:abc" is not a digest, which is sha256: and 64 digits`},
		"capital digest":     {dtk("quay.io/a/b@sha256:" + strings.Repeat("A", 64)), "is not a digest"},
		"long digest":        {dtk("quay.io/a/b" + digest + "a"), "is not a digest"},
		"sha512":             {dtk("quay.io/a/b@sha512:" + strings.Repeat("a", 128)), "is not a digest"},
		"two digests":        {dtk("quay.io/a/b" + digest + digest), "is not a digest"},
		"no registry":        {dtk("a/b" + digest), `"a/b" is not a registry and a repository`},
		"no repository":      {dtk("quay.io" + digest), `"quay.io" is not a registry and a repository`},
		"path out":           {dtk("quay.io/../b" + digest), "is not a registry and a repository"},
		"capital repository": {dtk("quay.io/A" + digest), "is not a registry and a repository"},
		"newline":            {dtk(`quay.io/a\n` + digest), `"quay.io/a\n" is not a registry and a repository`},
		"looks like a flag":  {dtk("--privileged/a.b/c" + digest), "is not a registry and a repository"},
		"overlong":           {dtk("quay.io/" + strings.Repeat("a", 248) + digest), "the repository is longer than 255 characters"},
		"empty dtk":          {dtk(""), `"" has no digest`},
		"kernel path":        {entry("", "", "", `, "kernel": "5.14.0/../x"`), `c.json:3:33: "5.14.0/../x" is not a kernel version`},
		"kernel null":        {entry("", "", "", `, "kernel": null`), "c.json:3:33: found null where a text"},
		"kernel empty":       {entry("", "", "", `, "kernel": ""`), `c.json:3:33: "" is not a kernel version: it is empty`},
		"kernel of another":  {entry("", "", "", `, "kernel": "5.14.0-1.el9_6.aarch64"`), "c.json:3:33: the kernel 5.14.0-1.el9_6.aarch64 is for aarch64 and the entry for x86_64: correct one of them"},
		"component":          {entry("", "", "", `, "component": "Driver Toolkit"`), `c.json:3:36: "Driver Toolkit" is not a component: write the name of a payload tag`},
		"component empty":    {entry("", "", "", `, "component": ""`), `c.json:3:36: "" is not a component`},
		"kernel of nodes":    {entry("", "", "", `, "node-kernel": "x"`), `c.json:3:38: "x" is not a kernel version`},
		"nodes of another":   {entry("", "", "", `, "node-kernel": "6.1.0-1.el9.aarch64"`), "c.json:3:38: the kernel 6.1.0-1.el9.aarch64 is for aarch64"},
		"only as text":       {entry("", "", "", `, "only": "true"`), `c.json:3:31: found the text "true" where true or false belongs`},
		"component overlong": {entry("", "", "", `, "component": "`+strings.Repeat("a", 64)+`"`), "is not a component"},
		"entry twice":        {strings.Replace(sample, "4.20.16", "4.20.9", 1), "c.json:4:3: driver-toolkit of OpenShift 4.20.9 for x86_64 is here twice, first in line 2: take one out"},
		"component twice":    {strings.Replace(sample, image("5")+`"`, image("5")+`", "component": "driver-toolkit-10"`, 1), "c.json:6:3: driver-toolkit-10 of OpenShift 5.0.0 for x86_64 is here twice, first in line 5"},
		"two kernels":        {strings.Replace(sample, image("6"), image("1"), 1), "c.json:7:3: the kernel is 4.18.0-305.el8 here and 5.14.0-570.96.1.el9_6.x86_64 in line 2 for one image"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := catalog.Parse("c.json", []byte(tt.in))
			if err == nil {
				t.Fatalf("no error but %v, want %q", lines(c.Entries), tt.want)
			}
			if _, ok := errors.AsType[*jsonfile.Error](err); !ok {
				t.Errorf("%T is not a *jsonfile.Error", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error\n  %s\ndoes not hold\n  %s", err, tt.want)
			}
		})
	}
}

// R2.2: images of any registry, a private mirror's too.
func TestParseImages(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	for _, repository := range []string{
		"quay.io/openshift-release-dev/ocp-v4.0-art-dev", "localhost/dtk", "localhost:5000/dtk", "127.0.0.1:5000/a/b", "mirror:8443/a",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com/neuron-operator/driver-toolkit", "registry.example.com/a__b/c-d.e",
		"quay.io/" + strings.Repeat("a", 247),
	} {
		c, err := catalog.Parse("c.json", []byte(dtk(repository+digest)))
		if err != nil || c.Entries[0].DTK != repository+digest {
			t.Errorf("%s: %v", repository, err)
		}
	}
}
