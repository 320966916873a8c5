package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

const (
	// maxHelperOutput bounds the output of a credential helper; a token is a few kilobytes.
	maxHelperOutput = 1 << 20
	// helperHasNone is the output of a helper that has no credentials for a host.
	helperHasNone = "credentials not found in native keychain"
	// helperToken is the user name in the output of a helper where the secret is an identity token.
	helperToken = "<token>"
)

// runHelper runs a credential helper with the protocol of
// https://github.com/docker/docker-credential-helpers#development: the host on its standard input, credentials in JSON
// on its standard output. "Not found" is the zero value. Its other output may hold a secret, so no error quotes it.
func (f *authFile) runHelper(ctx context.Context, helper, host string) (authn.AuthConfig, error) {
	server := host
	if host == name.DefaultRegistry {
		server = authn.DefaultAuthKey
	}
	program := "docker-credential-" + helper
	out := &limitedBuffer{left: maxHelperOutput}
	get := command.Cmd{Name: program, Args: []string{"get"}, Stdin: strings.NewReader(server), Stdout: out}
	err := command.Run(ctx, get)
	if failed, ok := errors.AsType[*command.Error](err); ok {
		if failed.ExitCode > 0 && strings.TrimSpace(out.buf.String()) == helperHasNone {
			return authn.AuthConfig{}, nil
		}
		err = failed.Err
	}
	var got struct{ Username, Secret string }
	switch {
	case ctx.Err() != nil:
		return authn.AuthConfig{}, fmt.Errorf("ask %s for the credentials for %s: %w", program, host, context.Cause(ctx))
	case out.full:
		err = fmt.Errorf("it says more than %d bytes", maxHelperOutput)
	case err == nil && json.Unmarshal(out.buf.Bytes(), &got) != nil:
		err = errors.New("it does not answer in JSON as a credential helper does")
	}
	if err != nil {
		err = fmt.Errorf("auth file %s: %s for %s: %w", f.path, program, host, err)
		return authn.AuthConfig{}, fault.Wrap(err, fmt.Sprintf("see what `echo %s | %s get` says and mend that, "+
			"or take the helper out of credHelpers or credsStore in that file", server, program))
	}
	if got.Username == helperToken {
		return authn.AuthConfig{IdentityToken: got.Secret}, nil
	}
	return authn.AuthConfig{Username: got.Username, Password: got.Secret}, nil
}

// limitedBuffer keeps what is written to it, up to a limit. The buffer is not embedded: its ReadFrom has no limit.
type limitedBuffer struct {
	buf  bytes.Buffer
	left int
	full bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.full = true
		return 0, errors.New("too much output")
	}
	return b.buf.Write(p)
}
