package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/network"
	"hg-operator.dev/tests/kubernetes/internal/node"
	"hg-operator.dev/tests/kubernetes/internal/pki"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

const forwardLimit = 30 * time.Second

// What a cluster has from its start: who gives volumes when a claim names no class, and who gives some that are no
// larger than they say.
const manifests = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: testbed
  annotations:
    storageclass.kubernetes.io/is-default-class: "true"
provisioner: hg-operator.dev/testbed
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: limited
provisioner: hg-operator.dev/testbed
parameters:
  limited: "true"
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
`

// As kubeadm writes it, without a way out of the cluster.
const corefile = `.:53 {
    bind %s
    errors
    kubernetes cluster.local in-addr.arpa {
        kubeconfig %s
        pods insecure
        ttl 30
    }
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loadbalance
}
`

func (c Cluster) daemon(name, namespace string, command ...string) (*process.Running, error) {
	return process.Daemon{Name: name, Directory: c.Directory, Namespace: namespace, Command: command}.Start()
}

// openAPI makes the API server reachable from this machine.
func (c Cluster) openAPI(ctx context.Context, needed []*process.Running) (string, error) {
	listen, err := FreePort()
	if err != nil {
		return "", err
	}
	rule := fmt.Sprintf("%s=127.0.0.1:%d", listen, apiPort)
	forwarder, err := c.Forward("forward-api", rule)
	if err != nil {
		return "", err
	}
	open := func(context.Context) error {
		connection, err := net.Dial("tcp", listen)
		if err == nil {
			err = connection.Close()
		}
		return err
	}
	return "https://" + listen, process.Until(ctx, "forwarder", forwardLimit, open, append(needed, forwarder)...)
}

// Forward starts a forwarder into the namespace of the control plane, where names of Services are known and lead to
// pods.
func (c Cluster) Forward(name string, rules ...string) (*process.Running, error) {
	command := []string{c.Program, "forward", "--namespace=/run/netns/" + c.Prefix + "-cp",
		"--name-server=" + network.ControlPlane + ":53"}
	return c.daemon(name, "", append(command, rules...)...)
}

// startServices starts what every cluster has beside its control plane: names, volumes, and kube-proxy for the
// forwarder.
func (c Cluster) startServices(ctx context.Context, authority *pki.Authority) ([]*process.Running, error) {
	if _, err := process.Feed(ctx, manifests, c.Kubectl("apply", "--filename=-")...); err != nil {
		return nil, err
	}
	inside := c.controlPlane()
	files := map[string]string{
		"Corefile":   fmt.Sprintf(corefile, network.ControlPlane, inside.Kubeconfig("admin")),
		"proxy.yaml": node.ProxyFile(inside.Kubeconfig("proxy"), "control-plane", network.ControlPlane),
	}
	for name, text := range files {
		if err := os.WriteFile(c.file(name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := authority.WriteKubeconfig(inside.Kubeconfig("proxy"), inside.Server(), "proxy"); err != nil {
		return nil, err
	}
	var running []*process.Running
	commands := map[string][]string{
		"coredns": {filepath.Join(filepath.Dir(c.Program), "coredns"), "-conf", c.file("Corefile")},
		"provisioner": {c.Program, "provisioner", "--kubeconfig=" + inside.Kubeconfig("admin"),
			"--directory=" + c.file("volumes")},
		"kube-proxy": {c.Program, "kube-proxy", "--config=" + c.file("proxy.yaml")},
	}
	for name, command := range commands {
		started, err := c.daemon(name, inside.Namespace, command...)
		if err != nil {
			return running, err
		}
		running = append(running, started)
	}
	return running, nil
}

func (c Cluster) startNode(ctx context.Context, plan network.Node, authority *pki.Authority, images []string,
) ([]*process.Running, error) {
	each := c.node(plan)
	if err := each.Prepare(authority, node.API(apiPort)); err != nil {
		return nil, err
	}
	runtime, err := each.StartRuntime(ctx, images)
	if err != nil {
		return nil, err
	}
	agents, err := each.StartAgents()
	return append(agents, runtime), err
}
