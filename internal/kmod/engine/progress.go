package engine

import (
	"bytes"
	"regexp"
	"strings"
)

// maxLine bounds one line of an engine's output; what is longer says nothing about layers.
const maxLine = 4 << 10

var digest = regexp.MustCompile(`sha256:[0-9a-f]{6,64}`)

// podmanBlob is podman's line about a layer: "Copying blob sha256:abc", with more behind it once the layer is there, in
// versions that say so.
var podmanBlob = regexp.MustCompile(`^Copying blob (?:sha256:)?([0-9a-f]{12,64})(.*)$`)

// dockerLayer is docker's: "9c4a5d3f1b2e: Pulling fs layer", "9c4a5d3f1b2e: Pull complete".
var dockerLayer = regexp.MustCompile(`^([0-9a-f]{12}): (.*)$`)

// layerCount reads what an engine says of a pull and reports the layers it knows of: how many have arrived of those
// that the engine has named. Both numbers grow. Engines print no bytes without a terminal, and no layer count
// beforehand, so more would be guesswork.
type layerCount struct {
	report func(done, total int64) // may be nil
	line   []byte
	layers map[string]bool // by name: has arrived
}

// Write takes the engine's output in pieces of any size.
func (l *layerCount) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			if len(l.line)+len(rest) <= maxLine {
				l.line = append(l.line, rest...)
			}
			break
		}
		if len(l.line)+end <= maxLine {
			l.read(strings.TrimSpace(string(append(l.line, rest[:end]...))))
		}
		l.line = l.line[:0]
		rest = rest[end+1:]
	}
	return len(p), nil
}

func (l *layerCount) read(line string) {
	switch {
	case strings.HasPrefix(line, "Copying config "): // podman: it comes after the last layer
		for layer := range l.layers {
			l.layers[layer] = true
		}
	case podmanBlob.MatchString(line):
		m := podmanBlob.FindStringSubmatch(line)
		l.see(m[1], strings.Contains(m[2], "done") || strings.Contains(m[2], "skipped"))
	case dockerLayer.MatchString(line):
		m := dockerLayer.FindStringSubmatch(line)
		l.see(m[1], m[2] == "Pull complete" || m[2] == "Already exists")
	default:
		return
	}
	if l.report == nil {
		return
	}
	var done int64
	for _, arrived := range l.layers {
		if arrived {
			done++
		}
	}
	l.report(done, int64(len(l.layers)))
}

func (l *layerCount) see(layer string, arrived bool) {
	if l.layers == nil {
		l.layers = map[string]bool{}
	}
	l.layers[layer] = l.layers[layer] || arrived
}
