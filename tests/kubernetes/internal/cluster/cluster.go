// Package cluster starts a whole Kubernetes on this machine, and removes every trace of it again.
package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/cgroup"
	"hg-operator.dev/tests/kubernetes/internal/controlplane"
	"hg-operator.dev/tests/kubernetes/internal/network"
	"hg-operator.dev/tests/kubernetes/internal/node"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

const (
	apiPort   = 6443
	nodeLimit = 180 * time.Second
	// askLimit is for a question to a cluster that may be dead.
	askLimit = 5 * time.Second
)

// Cluster is a folder with everything of it.
type Cluster struct {
	Directory string
	// Program is the testbed; CoreDNS stands beside it.
	Program string
	// Prefix of the names that are global on a machine: network namespaces and control groups. It follows from the
	// folder, so that clusters in two folders do not meet and one that crashed is found again.
	Prefix string
}

// At does not start anything.
func At(directory, program string) (Cluster, error) {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return Cluster{}, err
	}
	sum := sha256.Sum256([]byte(directory))
	return Cluster{Directory: directory, Program: program, Prefix: "hgk-" + hex.EncodeToString(sum[:3])}, nil
}

// State is what a later call has to know.
type State struct {
	Nodes int `json:"nodes"`
	// Server is the API server's address on loopback.
	Server string `json:"server"`
}

func (c Cluster) file(name string) string { return filepath.Join(c.Directory, name) }

// Kubeconfig is for programs of this machine.
func (c Cluster) Kubeconfig() string { return c.file("kubeconfig") }

// Kubectl is a command line for this machine.
func (c Cluster) Kubectl(arguments ...string) []string {
	return append([]string{c.Program, "kubectl", "--kubeconfig=" + c.Kubeconfig()}, arguments...)
}

// State of a cluster that came up, or nothing.
func (c Cluster) State() (*State, error) {
	text, err := os.ReadFile(c.file("cluster.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var state State
	return &state, json.Unmarshal(text, &state)
}

// Network is the plan of its namespaces.
func (c Cluster) Network(nodes int) network.Plan { return network.NewPlan(c.Prefix, nodes) }

func (c Cluster) controlPlane() controlplane.Plan {
	return controlplane.Plan{Directory: c.Directory, Program: c.Program, Namespace: c.Prefix + "-cp",
		Listen: "0.0.0.0", Advertise: network.ControlPlane, EtcdPort: 2379, EtcdPeerPort: 2380, APIPort: apiPort,
		Services: network.Services, APIService: network.APIService}
}

func (c Cluster) node(plan network.Node) node.Plan {
	return node.Plan{Node: plan, Cluster: c.Directory, Program: c.Program, Group: c.Prefix}
}

// Import gives every node an image.
func (c Cluster) Import(ctx context.Context, archive string) error {
	state, err := c.State()
	if err != nil || state == nil {
		return errors.Join(err, fmt.Errorf("no cluster is up in %s", c.Directory))
	}
	for _, plan := range c.Network(state.Nodes).Nodes {
		if err := c.node(plan).Import(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// Up returns once all nodes are ready. It does nothing when they are already, and starts anew when they are not.
func (c Cluster) Up(ctx context.Context, say process.Progress, nodes int, images []string) error {
	if nodes < 1 || nodes > network.MaxNodes {
		return fmt.Errorf("a cluster here has 1 to %d nodes", network.MaxNodes)
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces and containers need root")
	}
	if state, err := c.State(); err == nil && state != nil && state.Nodes == nodes && c.nodesReady(ctx, nodes) == nil {
		say.Say("the cluster is up already: %d node(s), %s", nodes, state.Server)
		return nil
	}
	if err := c.Down(ctx); err != nil {
		return fmt.Errorf("an earlier cluster cannot be removed: %w", err)
	}
	err := c.start(ctx, say, nodes, images)
	if err != nil {
		// What was asked for is over, cleaning up is not; the logs stay for whoever wants to know.
		return errors.Join(err, c.stop(context.WithoutCancel(ctx)))
	}
	return nil
}

func (c Cluster) start(ctx context.Context, say process.Progress, nodes int, images []string) error {
	if err := os.MkdirAll(c.Directory, 0o755); err != nil {
		return err
	}
	plan := c.Network(nodes)
	if err := c.createGroups(plan); err != nil {
		return err
	}
	if err := c.Join(); err != nil {
		return err
	}
	if err := plan.Create(ctx); err != nil {
		return err
	}
	control := c.controlPlane()
	authority, err := control.Prepare()
	if err != nil {
		return err
	}
	running, err := control.Start(ctx, true)
	if err != nil {
		return err
	}
	say.Say("the control plane answers")
	state := State{Nodes: nodes}
	if state.Server, err = c.openAPI(ctx, running); err != nil {
		return err
	}
	if err := authority.WriteKubeconfig(c.Kubeconfig(), state.Server, "admin"); err != nil {
		return err
	}
	services, err := c.startServices(ctx, authority)
	if err != nil {
		return err
	}
	running = append(running, services...)
	for _, each := range plan.Nodes {
		started, err := c.startNode(ctx, each, authority, images)
		running = append(running, started...)
		if err != nil {
			return err
		}
		say.Say("node %s has its containerd, kubelet and kube-proxy", each.Name())
	}
	ready := func(ctx context.Context) error { return c.nodesReady(ctx, nodes) }
	if err := process.Until(ctx, "nodes", nodeLimit, ready, running...); err != nil {
		return err
	}
	say.Say("%d node(s) are ready; the API server is at %s", nodes, state.Server)
	return controlplane.WriteJSON(c.file("cluster.json"), state)
}

// Join puts this program, and so everything that it starts, where Down finds it.
func (c Cluster) Join() error {
	tree, err := cgroup.NewTree(c.Prefix)
	if err != nil {
		return err
	}
	return tree.Join()
}

func (c Cluster) createGroups(plan network.Plan) error {
	tree, err := cgroup.NewTree(c.Prefix)
	if err != nil {
		return err
	}
	var names []string
	for _, each := range plan.Nodes {
		names = append(names, each.Name())
	}
	return tree.Create(names)
}

// nodesReady asks the API server.
func (c Cluster) nodesReady(ctx context.Context, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	states := `{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}`
	output, err := process.Output(ctx, c.Kubectl("get", "nodes", "-o", "jsonpath="+states)...)
	if err != nil {
		return err
	}
	if ready := strings.Count(output, "=True "); ready != nodes {
		return fmt.Errorf("%d of %d nodes are ready: %s", ready, nodes, output)
	}
	return nil
}

// FreePort is one of loopback that nobody listens on.
func FreePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
