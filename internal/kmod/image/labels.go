package image

import (
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// The labels of a kmod image (R5.2) and the standard ones beside them:
// https://github.com/opencontainers/image-spec/blob/main/annotations.md
const (
	LabelTitle      = "org.opencontainers.image.title"
	LabelVersion    = "org.opencontainers.image.version"
	LabelSource     = "org.opencontainers.image.source"
	LabelCreated    = "org.opencontainers.image.created"
	LabelLicenses   = "org.opencontainers.image.licenses"
	LabelBaseName   = "org.opencontainers.image.base.name"
	LabelBaseDigest = "org.opencontainers.image.base.digest"

	LabelDriver = "neuron-driver-version"
	LabelKernel = "kernel-version"

	LabelDriverSource    = "neuron-driver.source"
	LabelSourceDigest    = "neuron-driver.source-digest" // driver.SourceDigest of what was compiled
	LabelDriverLicense   = "neuron-driver.license"
	LabelDriverCopyright = "neuron-driver.copyright"

	LabelBusyBoxVersion   = "busybox.version"
	LabelBusyBoxSource    = "busybox.source"
	LabelBusyBoxLicense   = "busybox.license"
	LabelBusyBoxCopyright = "busybox.copyright"
)

// ArgBase is the ARG that the Containerfile's FROM takes the base image from.
const ArgBase = "BASE_IMAGE"

// LabelInput is what the labels of one image are computed from.
type LabelInput struct {
	Driver     version.Driver
	Kernel     kernel.Version
	Repository string // of the project: "https://github.com/OWNER/REPO", no slash at the end
	Source     string // driver.SourceDigest of what was compiled; "" leaves its label out
	BusyBox    string // BaseInfo.BusyBox; "" leaves the busybox labels out
	Base       Base   // its name and digest
	Created    time.Time
}

func (in LabelInput) releaseURL() string {
	return in.Repository + "/releases/download/neuron-driver-" + in.Driver.String()
}

func (in LabelInput) busyBoxSource() string {
	if in.BusyBox == "" {
		return ""
	}
	return busyBoxSourceLabel(in.BusyBox, in.releaseURL())
}

// Args are the values of the ARGs of container/Containerfile, from which it makes the labels.
func Args(in LabelInput) map[string]string {
	return map[string]string{
		ArgBase:           in.Base.Name,
		"BASE_DIGEST":     in.Base.Digest,
		"DRIVER_VERSION":  in.Driver.String(),
		"KERNEL_VERSION":  in.Kernel.String(),
		"CREATED":         timestamp(in.Created),
		"SOURCE_URL":      in.Repository,
		"SOURCE_DIGEST":   in.Source,
		"BUSYBOX_VERSION": in.BusyBox,
		"BUSYBOX_SOURCE":  in.busyBoxSource(),
	}
}

// Labels are all labels of the image. They are what container/Containerfile makes of [Args]; given as [Spec.Labels]
// they are there as well when the user brings a Containerfile that sets none.
func Labels(in LabelInput) map[string]string {
	labels := map[string]string{
		LabelTitle:           "AWS Neuron kernel module",
		LabelVersion:         in.Driver.String(),
		LabelSource:          in.Repository,
		LabelCreated:         timestamp(in.Created),
		LabelLicenses:        "GPL-2.0-only",
		LabelBaseName:        in.Base.Name,
		LabelBaseDigest:      in.Base.Digest,
		LabelDriver:          in.Driver.String(),
		LabelKernel:          in.Kernel.String(),
		LabelDriverSource:    in.releaseURL() + "/aws-neuronx-dkms-" + in.Driver.String() + "-modified-source.tar.gz",
		LabelDriverLicense:   "GPL-2.0",
		LabelDriverCopyright: "Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.",
	}
	if in.Source != "" {
		labels[LabelSourceDigest] = in.Source
	}
	if in.BusyBox != "" {
		labels[LabelBusyBoxVersion] = in.BusyBox
		labels[LabelBusyBoxSource] = in.busyBoxSource()
		labels[LabelBusyBoxLicense] = "GPL-2.0"
		labels[LabelBusyBoxCopyright] = "Copyright 1998 to this day by the many authors of BusyBox, see AUTHORS in its source"
	}
	return labels
}

// timestamp is the form of R5.2: ISO 8601, in UTC, to the second.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
