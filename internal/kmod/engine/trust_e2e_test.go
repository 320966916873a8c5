//go:build e2e

package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"neuron-kmod/internal/platform/fault"
)

// R6.1: podman trusts the CA that it is given, and still those that it trusts by itself.
func TestE2EPrivateCA(t *testing.T) {
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "https://") + "/test/dtk:1")
	must(t, err)
	must(t, remote.Write(ref, busyboxImage(t), remote.WithTransport(server.Client().Transport)))
	theirs, other := caFile(t, server.Certificate().Raw), caFile(t, otherCA(t))

	c, _ := newCLI(t, "podman", t.TempDir())
	c.opts.CAFile = other
	_, err = c.Acquire(t.Context(), ref.String(), nil)
	if _, ok := errors.AsType[*PullError](err); ok || !strings.Contains(fault.Of(err), "--ca-file") {
		t.Errorf("with another CA: %v, hint %q", err, fault.Of(err))
	}
	for system, given := range map[string]string{other: theirs, theirs: other} {
		t.Setenv("SSL_CERT_FILE", system)
		c.opts.CAFile = given
		lease, err := c.Acquire(t.Context(), ref.String(), nil)
		must(t, err)
		must(t, lease.Release(t.Context()))
	}
}

// otherCA is a certificate that has signed nothing here.
func otherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	return must1(x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key))(t)
}

func caFile(t *testing.T, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return path
}
