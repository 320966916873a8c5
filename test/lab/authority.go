package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is the lab's own certificate authority and the one certificate that its servers show.
type authority struct {
	CAFile, CertFile, KeyFile string
}

// Far enough apart that a lab outlives neither: certificates are part of the store.
const certificateLife = 10 * 365 * 24 * time.Hour

// names are those that the lab's certificate is for: this machine's, and those of sites in the lab's internet.
var names = []string{
	"localhost",
	"quay.io",
	"public.ecr.aws",
	"*.dkr.ecr.us-west-2.amazonaws.com", "*.dkr.ecr.us-gov-west-1.amazonaws.com", "*.dkr.ecr.cn-north-1.amazonaws.com.cn",
	"*.us-west-2.amazonaws.com", "api.ecr.us-west-2.amazonaws.com",
	"*.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com", "api.ecr-public.us-east-1.amazonaws.com",
	"yum.repos.neuron.amazonaws.com",
	"*.actions.githubusercontent.com",
	"github.com", "api.github.com", "uploads.github.com",
	"busybox.net", "git.busybox.net",
}

func openAuthority(ctx context.Context, s *store) (*authority, error) {
	dir, err := s.make(ctx, "authority", "certificates 2", func(_ context.Context, dir string) error {
		return makeCertificates(dir)
	})
	if err != nil {
		return nil, err
	}
	return &authority{
		CAFile:   filepath.Join(dir, "ca.pem"),
		CertFile: filepath.Join(dir, "server.pem"),
		KeyFile:  filepath.Join(dir, "server.key"),
	}, nil
}

func makeCertificates(dir string) error {
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "neuron-kmod lab CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "neuron-kmod lab"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":     {Type: "CERTIFICATE", Bytes: caDER},
		"server.pem": {Type: "CERTIFICATE", Bytes: serverDER},
		"server.key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// clientTLS trusts this authority only.
func (a *authority) clientTLS() (*tls.Config, error) {
	data, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate", a.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// serverTLS shows the lab's certificate.
func (a *authority) serverTLS() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
