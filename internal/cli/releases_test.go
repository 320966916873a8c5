package cli

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"neuron-kmod/internal/openshift/payload/payloadtest"
)

// releasesKey finds the releaseServer of a script.
type releasesKey struct{}

// releaseServer is the repository of OpenShift releases that a script works with.
type releaseServer struct {
	t     *testing.T
	store *payloadtest.Store
	added map[string]payloadtest.Added
}

// releasesCommand is the script's way to the releases:
//
//	releases start                              start a repository, and name it in $RELEASES
//	releases add TAG KERNEL NODES [KERNEL NODES]  add a release; the second pair is the stream -10
//	releases break TAG                          add a release that cannot be read
//	releases remove TAG                         remove a release
//	releases remove-toolkit TAG                 remove the Driver Toolkit of a release
//	releases mirror                             copy the images of all releases to a repository, and name it in $IMAGES
//	releases refuse | mend                      show Driver Toolkits to nobody; to everyone again
func releasesCommand(ts *testscript.TestScript, neg bool, args []string) {
	s, ok := ts.Value(releasesKey{}).(*releaseServer)
	if neg || !ok || len(args) == 0 || args[0] != "start" && s.store == nil {
		ts.Fatalf("releases: start it first, see releasesCommand")
	}
	switch verb, args := args[0], args[1:]; {
	case verb == "start":
		s.store, s.added = payloadtest.New(s.t), map[string]payloadtest.Added{}
		ts.Setenv("RELEASES", s.store.Repository())
	case verb == "add" && len(args) >= 3:
		r := payloadtest.Release{Tag: args[0], Streams: []payloadtest.Stream{{Kernel: args[1], Nodes: args[2]}}}
		if len(args) == 5 {
			r.Streams = append(r.Streams, payloadtest.Stream{Suffix: "-10", Kernel: args[3], Nodes: args[4]})
		}
		s.added[r.Tag] = s.store.Add(s.t, r)
	case verb == "break" && len(args) == 1:
		s.store.Add(s.t, payloadtest.Release{Tag: args[0], Text: "{"})
	case verb == "remove" && len(args) == 1:
		s.store.Remove(s.t, args[0])
	case verb == "remove-toolkit" && len(args) == 1:
		toolkits := s.added[args[0]].Toolkits
		s.store.RemovePart(s.t, toolkits[""])
		delete(toolkits, "")
	case verb == "mirror":
		ts.Setenv("IMAGES", s.mirror(ts))
	case verb == "refuse":
		s.store.Refuse()
	case verb == "mend":
		s.store.Mend()
	default:
		ts.Fatalf("releases %s: see releasesCommand", verb)
	}
}

// mirror copies Driver Toolkits and node images, by their digests, and names the repository.
func (s *releaseServer) mirror(ts *testscript.TestScript) string {
	to := s.store.Host + "/ocp4/openshift4"
	for _, added := range s.added {
		for _, images := range []map[string]string{added.Toolkits, added.Nodes} {
			for _, image := range images {
				_, digest, _ := strings.Cut(image, "@")
				original, err := name.NewDigest(image)
				ts.Check(err)
				copied, err := name.NewDigest(to + "@" + digest)
				ts.Check(err)
				img, err := remote.Image(original)
				ts.Check(err)
				ts.Check(remote.Write(copied, img))
			}
		}
	}
	return to
}
