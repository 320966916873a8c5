package action

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
)

// Node is what a cluster says of one of its nodes.
type Node struct {
	Name         string         `json:"name"`
	Kernel       kernel.Version `json:"kernel"`
	Architecture string         `json:"architecture"` // as Kubernetes calls it: amd64
	System       string         `json:"system"`       // "Red Hat Enterprise Linux CoreOS 9.6.2025..."
	Other        string         `json:"other"`        // why the node can have no Neuron device, else ""
	Images       []Answer       `json:"images"`       // one for each driver; none where Other tells why
}

// maxNodes bounds what is read: a node with all its images is some 50 kB.
const maxNodes = 256 << 20

// ResolveNodes answers for the nodes of a cluster, which it reads from in as `kubectl get nodes -o json` prints them.
// The nodes come with the error that says how many lack an image, of the kind fault.Incomplete. It blocks on in and
// on the network.
func ResolveNodes(ctx context.Context, env Env, r ResolveRequest, in io.Reader) ([]Node, error) {
	// Whoever writes the nodes may be slow, or hang: a signal does not wait for it. The goroutine then stays with its
	// read until the process ends.
	var data []byte
	done := make(chan error, 1)
	go func() {
		var err error
		data, err = io.ReadAll(io.LimitReader(in, maxNodes+1))
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read the nodes from stdin: %w", err)
	}
	nodes, err := parseNodes(data)
	if err != nil {
		return nil, fault.AsUsage(fault.Wrap(fmt.Errorf("the nodes on stdin: %w", err), NodesUsage))
	}
	q, err := openResolver(ctx, env, r)
	if err != nil {
		return nil, err
	}
	var kernels []kernel.Version
	for _, n := range nodes {
		if n.Other == "" && !slices.Contains(kernels, n.Kernel) {
			kernels = append(kernels, n.Kernel)
		}
	}
	answers, _, _, err := q.kernels(ctx, kernels)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		nodes[i].Images = slices.DeleteFunc(append([]Answer{}, answers...), func(a Answer) bool {
			return a.Kernel != nodes[i].Kernel || nodes[i].Other != ""
		})
	}
	lacking := count(nodes, func(n Node) bool { return n.Other == "" && shortage(n.Images) != nil })
	switch {
	case lacking == 0:
		return nodes, nil
	case r.Driver == matrix.All: // each has to be there, as for a release and a kernel
		err = fault.Wrap(fmt.Errorf("%s without an image of each driver", format.Count(lacking, "node")),
			"name the driver of the cluster with --driver")
	default:
		err = fmt.Errorf("%s without an image", format.Count(lacking, "node"))
	}
	return nodes, fault.AsIncomplete(err)
}

// NodesUsage is how nodes are given.
const NodesUsage = "oc get nodes -o json | neuron-kmod resolve -"

// parseNodes reads what `kubectl get nodes -o json` or `kubectl get node NAME -o json` prints.
func parseNodes(data []byte) ([]Node, error) {
	type object struct {
		Kind     string
		Metadata struct{ Name string }
		Status   struct {
			NodeInfo struct{ KernelVersion, Architecture, OperatingSystem, OSImage string }
		}
	}
	var list struct {
		object
		Items []object
	}
	switch {
	case len(data) > maxNodes:
		return nil, fmt.Errorf("they are longer than %d bytes", maxNodes)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("there is nothing")
	}
	if err := json.Unmarshal(data, &list); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("this JSON is not a list of nodes: %w", err)
		}
		return nil, fmt.Errorf("they are not JSON: %w; they begin with %q", err, data[:min(len(data), 40)])
	}
	objects := list.Items
	if list.Kind == "Node" {
		objects = []object{list.object}
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("there is no node in this %.40q", cmp.Or(list.Kind, "JSON"))
	}
	var nodes []Node
	for i, one := range objects {
		if one.Kind != "" && one.Kind != "Node" {
			return nil, fmt.Errorf("item %d is a %.40q, not a Node", i+1, one.Kind)
		}
		info := one.Status.NodeInfo
		k, err := kernel.Parse(info.KernelVersion)
		if err != nil {
			return nil, fmt.Errorf("node %.100q: status.nodeInfo.kernelVersion: %w", one.Metadata.Name, err)
		}
		if info.Architecture == "" {
			return nil, fmt.Errorf("node %.100q: there is no status.nodeInfo.architecture", one.Metadata.Name)
		}
		n := Node{
			Name: printable(one.Metadata.Name), Kernel: k,
			Architecture: printable(info.Architecture), System: printable(info.OSImage),
		}
		switch {
		case n.Architecture != "amd64":
			n.Other = "its architecture is " + n.Architecture + ", which has no Neuron devices"
		case info.OperatingSystem == "windows":
			n.Other = "it runs Windows"
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// printable takes out what could harm a terminal or a table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}
