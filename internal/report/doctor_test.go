package report

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/platform/config"
	"neuron-kmod/internal/platform/fault"
)

// example has a check of each kind.
func example() doctor.Report {
	end := time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))
	failed := doctor.Check{Group: "registries", Name: "target takes images"}.Fail(fault.Wrap(errors.New("refused\nfor a reason"), "ask for it"))
	return doctor.NewReport([]config.Setting{{Name: "environment", Value: "local", Override: "GITHUB_ACTIONS"}, {Name: "AWS region", Override: "AWS_REGION"}}, []doctor.Check{
		{Group: "tools", Name: "aws", State: doctor.BuiltIn, Detail: "the AWS SDK v1.48.0", Version: "v1.48.0"},
		doctor.Engine("podman", "", "", true, errors.New("not found")),
		{Group: "credentials", Name: "AWS identity", State: doctor.OK, Detail: "arn", Source: "profile work", Identity: "arn", ValidUntil: &end},
		{Group: "credentials", Name: "base image", State: doctor.Warning, Detail: "anonymous", Hint: "log in"},
		failed,
		doctor.Check{Group: "registries", Name: "mirror"}.Skip("not tried: no AWS"),
	})
}

// R1.2, R8.1: the report reads well for people, and its JSON keeps its form.
func TestDoctor(t *testing.T) {
	var table, asJSON strings.Builder
	if err := errors.Join(DoctorTable(&table, example()), JSON(&asJSON, "the report", example())); err != nil {
		t.Fatal(err)
	}
	golden(t, "doctor.txt", table.String())
	golden(t, "doctor.json", asJSON.String())
	if example().OK {
		t.Error("a report with a failed check is ok")
	}
	var decoded doctor.Report
	data, err := json.Marshal(example())
	if err == nil {
		err = json.Unmarshal(data, &decoded)
	}
	if err != nil || len(decoded.Checks) != len(example().Checks) {
		t.Errorf("JSON read back: %v, %+v", err, decoded)
	}
}

// What a registry or an engine says reaches no terminal as a command.
func TestDoctorTablePrintable(t *testing.T) {
	const hostile = "\x1b[2J\u202e\r\x07said"
	c := doctor.Check{Group: "registries", Name: hostile, Source: hostile}.Fail(fault.Wrap(errors.New(hostile), hostile))
	var got strings.Builder
	if err := DoctorTable(&got, doctor.NewReport([]config.Setting{{Name: "AWS profile", Value: hostile}}, []doctor.Check{c})); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.String(), "\x1b\u202e\r\x07") || strings.Count(got.String(), "said") != 5 {
		t.Errorf("%q", got.String())
	}
}
