package engine

import (
	"fmt"
	"net"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// reference is a checked image reference: it cannot be taken for a flag.
type reference struct {
	text     string
	loopback bool // its registry is this machine
}

func parseReference(image string) (reference, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return reference{}, fmt.Errorf("image %q: %w", image, err)
	}
	if strings.HasPrefix(image, "-") {
		return reference{}, fmt.Errorf("image %q: a reference does not begin with a dash", image)
	}
	return reference{text: image, loopback: isLoopback(ref.Context().RegistryStr())}, nil
}

// isLoopback reports whether a registry, HOST or HOST:PORT, is on this machine by its name alone.
func isLoopback(registry string) bool {
	host := registry
	if h, _, err := net.SplitHostPort(registry); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
