// Package ecr holds what is Amazon's own about its container registries: which hosts are theirs, the tokens to log in
// with, and repositories, which have to exist before anything is pushed.
//
// Pushing and pulling is package registry's: to it, this is one more source of credentials.
package ecr

import (
	"regexp"
)

// PublicHost is the registry of ECR Public, and PublicRegion where its API is, whatever region the program runs in.
// https://docs.aws.amazon.com/general/latest/gr/ecr-public.html
const (
	PublicHost   = "public.ecr.aws"
	PublicRegion = "us-east-1"
)

// privateForm is the name of a private registry, with the account and the region, in the partitions that are known.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
var privateForm = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.` +
	`(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn|` +
	`c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// privateRegion returns the region of a private registry, "" if host is none.
func privateRegion(host string) string {
	if m := privateForm.FindStringSubmatch(host); m != nil {
		return m[2]
	}
	return ""
}

// IsHost reports whether host is a registry of Amazon's.
func IsHost(host string) bool { return host == PublicHost || privateRegion(host) != "" }
