// Package node starts what one node is made of: containerd, the kubelet and kube-proxy, each with its own files.
package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/network"
	"hg-operator.dev/tests/kubernetes/internal/pki"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

const containerdLimit = 60 * time.Second

// Plan is one node's place in a cluster.
type Plan struct {
	network.Node
	// Cluster is the cluster's folder and Program the testbed itself.
	Cluster, Program string
	// Group is the cluster's name among the control groups.
	Group string
}

// Directory holds everything of this node.
func (p Plan) Directory() string { return filepath.Join(p.Cluster, p.Name()) }

func (p Plan) file(name string) string { return filepath.Join(p.Directory(), name) }

// Socket is containerd's.
func (p Plan) Socket() string { return p.file("containerd.sock") }

// API is the API server as the node reaches it.
func API(port int) string { return fmt.Sprintf("https://%s:%d", network.ControlPlane, port) }

// Prepare writes every file that the node's programs read.
func (p Plan) Prepare(authority *pki.Authority, server string) error {
	for _, directory := range []string{"cni", "pki", "plugins", "pod-logs"} {
		if err := os.MkdirAll(p.file(directory), 0o755); err != nil {
			return err
		}
	}
	identity := pki.Identity{File: "kubelet-" + p.Name(), CommonName: "system:node:" + p.Name(),
		Organizations: []string{"system:nodes"}, Names: []string{p.Name()}, Addresses: []string{p.Address()}}
	if err := authority.Issue(identity); err != nil {
		return err
	}
	if err := authority.WriteKubeconfig(p.file("kubelet.conf"), server, identity.File); err != nil {
		return err
	}
	if err := authority.WriteKubeconfig(p.file("proxy.conf"), server, "proxy"); err != nil {
		return err
	}
	for name, text := range p.Files() {
		if err := os.WriteFile(p.file(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (p Plan) daemon(name string, command ...string) (*process.Running, error) {
	return process.Daemon{Name: p.Name() + "-" + name, Directory: p.Cluster, Namespace: p.Namespace,
		Command: command}.Start()
}

// StartRuntime returns once containerd answers and has the images.
func (p Plan) StartRuntime(ctx context.Context, images []string) (*process.Running, error) {
	running, err := p.daemon("containerd", "containerd", "--config="+p.file("containerd.toml"))
	if err != nil {
		return nil, err
	}
	answers := func(ctx context.Context) error {
		_, err := process.Output(ctx, "ctr", "--address="+p.Socket(), "version")
		return err
	}
	if err := process.Until(ctx, "containerd", containerdLimit, answers, running); err != nil {
		return running, err
	}
	for _, image := range images {
		if err := p.Import(ctx, image); err != nil {
			return running, err
		}
	}
	return running, nil
}

// Import gives the node an image, from the archive that a registry would have served.
func (p Plan) Import(ctx context.Context, archive string) error {
	_, err := process.Output(ctx, "ctr", "--address="+p.Socket(), "--namespace=k8s.io", "images", "import", archive)
	return err
}

// StartAgents starts the kubelet and kube-proxy, and does not wait for them.
func (p Plan) StartAgents() ([]*process.Running, error) {
	kubelet, err := p.daemon("kubelet", p.Program, "kubelet", "--config="+p.file("kubelet.yaml"),
		"--kubeconfig="+p.file("kubelet.conf"), "--hostname-override="+p.Name(), "--node-ip="+p.Address(),
		"--root-dir="+p.file("kubelet"), "--cert-dir="+p.file("pki"))
	if err != nil {
		return nil, err
	}
	proxy, err := p.daemon("kube-proxy", p.Program, "kube-proxy", "--config="+p.file("proxy.yaml"))
	return []*process.Running{kubelet, proxy}, err
}
