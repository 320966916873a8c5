package image

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/container"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

const testSource = "sha256:4567"

const testRepository = "https://github.com/example/kmods"

func mustDriver(t testing.TB, s string) version.Driver {
	t.Helper()
	d, err := version.ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustKernel(t testing.TB, s string) kernel.Version {
	t.Helper()
	k, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// kmodContext is a context as the build lays it out, for kernel k.
func kmodContext(t testing.TB, k string) string {
	t.Helper()
	files := map[string]string{"licenses/GPL-2.0.txt": "GPL", "licenses/NOTICE": "notice"}
	for _, name := range depmodFiles {
		files["opt/lib/modules/"+k+"/"+name] = name
	}
	files["opt/lib/modules/"+k+"/modules.dep"] = "other.ko: x.ko\nneuron.ko:\n"
	files["opt/lib/modules/"+k+"/neuron.ko"] = "\x7fELF"
	return folder(t, files)
}

// kmodSpec is what the build makes an image of, with the project's own Containerfile.
func kmodSpec(t testing.TB, base Base, in LabelInput) Spec {
	t.Helper()
	text, err := container.Files.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Base: base, Containerfile: text, Context: kmodContext(t, in.Kernel.String()),
		Args: Args(in), Labels: Labels(in), Created: testTime,
	}
}

func testLabels(t testing.TB, base Base, busyBox string) LabelInput {
	return LabelInput{
		Driver: mustDriver(t, "2.24.7.0"), Kernel: mustKernel(t, "5.14.0-570.96.1.el9_6.x86_64+rt"),
		Repository: testRepository, Source: testSource, BusyBox: busyBox, Base: base, Created: testTime,
	}
}

// R5.2: every label, and the standard ones.
func TestLabels(t *testing.T) {
	base := Base{Name: "example.com/busybox:stable-musl", Digest: "sha256:0123"}
	want := map[string]string{
		"org.opencontainers.image.title":       "AWS Neuron kernel module",
		"org.opencontainers.image.version":     "2.24.7.0",
		"org.opencontainers.image.source":      "https://github.com/example/kmods",
		"org.opencontainers.image.created":     "2025-01-02T03:04:05Z",
		"org.opencontainers.image.licenses":    "GPL-2.0-only",
		"org.opencontainers.image.base.name":   "example.com/busybox:stable-musl",
		"org.opencontainers.image.base.digest": "sha256:0123",
		"neuron-driver-version":                "2.24.7.0",
		"kernel-version":                       "5.14.0-570.96.1.el9_6.x86_64+rt",
		"neuron-driver.source":                 "https://github.com/example/kmods/releases/download/neuron-driver-2.24.7.0/aws-neuronx-dkms-2.24.7.0-modified-source.tar.gz",
		"neuron-driver.source-digest":          "sha256:4567",
		"neuron-driver.license":                "GPL-2.0",
		"neuron-driver.copyright":              "Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.",
		"busybox.version":                      "1.36.1",
		"busybox.source": "https://github.com/mirror/busybox/archive/refs/tags/1_36_1.tar.gz " +
			"(backup: https://git.busybox.net/busybox/snapshot/busybox-1.36.1.tar.bz2, " +
			"https://github.com/example/kmods/releases/download/neuron-driver-2.24.7.0/busybox-1.36.1.tar.gz)",
		"busybox.license":   "GPL-2.0",
		"busybox.copyright": "Copyright 1998 to this day by the many authors of BusyBox, see AUTHORS in its source",
	}
	if diff := cmp.Diff(want, Labels(testLabels(t, base, "1.36.1"))); diff != "" {
		t.Error(diff)
	}
	for name := range want {
		if strings.HasPrefix(name, "busybox.") {
			delete(want, name)
		}
	}
	if diff := cmp.Diff(want, Labels(testLabels(t, base, ""))); diff != "" {
		t.Errorf("without BusyBox:\n%s", diff)
	}
	odd := Labels(testLabels(t, base, "1.37.0.git"))[LabelBusyBoxSource]
	if odd != testRepository+"/releases/download/neuron-driver-2.24.7.0/busybox-1.37.0.git.tar.gz" {
		t.Errorf("source of a BusyBox that was never released: %s", odd)
	}
}

// R5.2, R5.3: the Containerfile is the one description. What it says with the
// ARGs alone is what Labels says, and its COPY lines are what Assemble makes
// layers of.
func TestContainerfileMakesLabels(t *testing.T) {
	pair := regexp.MustCompile(`([a-z0-9.-]+)="([^"]*)"`)
	instructions, err := parseContainerfile(builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, busyBox := range map[string]string{"BusyBox": "1.36.1", "none": ""} {
		t.Run(name, func(t *testing.T) {
			in := testLabels(t, busyBoxBase(t), busyBox)
			args, got, copies := Args(in), map[string]string{}, []string{}
			for _, one := range instructions {
				switch one.name {
				case "LABEL":
					for _, m := range pair.FindAllStringSubmatch(one.rest, -1) {
						if got[m[1]], err = expand(m[2], func(name string) string { return args[name] }); err != nil {
							t.Fatal(err)
						}
					}
				case "COPY":
					copies = append(copies, one.rest)
				case "ARG", "FROM":
				default:
					t.Errorf("Assemble does not know %s", one.name)
				}
			}
			dropEmpty(got)
			if diff := cmp.Diff(Labels(in), got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"licenses/ /licenses/", "opt/ /opt/"}, copies); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// R5.3: the base image of the requirement is what the Containerfile names by itself.
func TestContainerfileBase(t *testing.T) {
	text, err := os.ReadFile("../../../container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	got, err := BaseReference(text, nil)
	if err != nil || got != "public.ecr.aws/docker/library/busybox:stable-musl" {
		t.Errorf("BaseReference = %q, %v", got, err)
	}
}
