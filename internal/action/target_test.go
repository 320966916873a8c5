package action

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/platform/config"
)

// R1.3: which runs cannot do without AWS.
func TestNeedsAWS(t *testing.T) {
	mirror := config.AWS{MirrorNamed: true}
	for name, tt := range map[string]struct {
		s    config.Settings
		want bool
	}{
		"ecr":               {config.Settings{Target: "ecr"}, true},
		"ecr-public":        {config.Settings{Target: "ecr-public"}, true},
		"ECR by its name":   {config.Settings{Target: "111122223333.dkr.ecr.us-west-2.amazonaws.com/kmod"}, true},
		"another registry":  {config.Settings{Target: "quay.io/me/kmod", UseMirror: true}, false},
		"directory":         {config.Settings{Target: "oci:images"}, false},
		"mirror":            {config.Settings{Target: "quay.io/me/kmod", UseMirror: true, AWS: mirror}, true},
		"mirror in Actions": {config.Settings{Target: "quay.io/me/kmod", AWS: mirror}, false},
	} {
		if got := (access{target: tt.s.Target}).needsAWS(tt.s); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// R1.3: a run that can do without AWS does not wait for an address of the metadata that nobody answers at: it goes on
// as without credentials.
func TestLoadIdentitySpare(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts: a connection hangs for ever
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://" + l.Addr().String(), "AWS_EC2_METADATA_DISABLED": "", "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
	} {
		t.Setenv(name, value)
	}
	log := slog.New(slog.DiscardHandler)
	s := &session{env: Env{Log: log}, access: access{target: "oci:images"}}
	if _, err := s.loadIdentity(t.Context()); !errors.Is(err, identity.ErrNone) {
		t.Errorf("error %v, want %v", err, identity.ErrNone)
	}
}
