package cli

import (
	"errors"
	"fmt"
	"testing"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/oci/identity"
)

// R8.1: credentials that a person has to mend have an exit code of their own, wherever they are for.
func TestExitCodeOfCredentials(t *testing.T) {
	cause := errors.New("refused")
	for err, want := range map[error]int{
		&identity.CredentialError{Err: cause}: exitPrerequisite, &github.CredentialError{Err: cause}: exitPrerequisite, cause: exitService,
	} {
		if got := exitCode(t.Context(), fmt.Errorf("release: %w", err)); got != want {
			t.Errorf("%T: exit code %d, want %d", err, got, want)
		}
	}
}
