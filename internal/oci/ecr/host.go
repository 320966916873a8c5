// Package ecr holds what is specific to Amazon's container registries: their host names, the tokens for logging in, and
// repositories, which have to exist before anything is pushed.
//
// Package registry pushes and pulls: to it, this is one more source of credentials.
package ecr

import "regexp"

// PublicHost is the registry of ECR Public, PublicRegion the only region of its API.
// https://docs.aws.amazon.com/general/latest/gr/ecr-public.html
const (
	PublicHost   = "public.ecr.aws"
	PublicRegion = "us-east-1"
)

// privateForm is the host name of a private registry, with account and region, in the known partitions.
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

// IsHost reports whether host is one of Amazon's registries.
func IsHost(host string) bool { return host == PublicHost || privateRegion(host) != "" }
