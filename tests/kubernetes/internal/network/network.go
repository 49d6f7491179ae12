// Package network makes each node a network namespace of its own, all of them joined by a bridge in the namespace of
// the control plane. The machine's own addresses, routes and firewall stay as they are.
package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"hg-operator.dev/tests/kubernetes/internal/process"
)

const (
	// ControlPlane is the address of everything that is no node.
	ControlPlane = "10.200.0.1"
	// Services is the range of ClusterIPs; its first address is the API server's.
	Services = "10.96.0.0/16"
	// APIService is the ClusterIP of the Service `kubernetes`.
	APIService = "10.96.0.1"
	// Pods is the range that the nodes' parts are taken from.
	Pods = "10.244.0.0/16"

	namespaces = "/run/netns"
)

// MaxNodes is what the addresses below have room for.
const MaxNodes = 9

// Node is what a node is called and where it is.
type Node struct {
	// Number counts from 1.
	Number int
	// Namespace is its network namespace.
	Namespace string
}

// Name is the node's in Kubernetes.
func (n Node) Name() string { return fmt.Sprintf("n%d", n.Number) }

// Address is the node's own.
func (n Node) Address() string { return fmt.Sprintf("10.200.0.1%d", n.Number) }

// Pods is the range of the node's pods.
func (n Node) Pods() string { return fmt.Sprintf("10.244.%d.0/24", n.Number) }

// Link is the bridge's end of the node's cable.
func (n Node) Link() string { return fmt.Sprintf("veth%d", n.Number) }

// Plan is the namespaces of one cluster.
type Plan struct {
	ControlPlane string
	Nodes        []Node
}

// NewPlan names them. `prefix` tells clusters on one machine apart.
func NewPlan(prefix string, nodes int) Plan {
	plan := Plan{ControlPlane: prefix + "-cp"}
	for number := 1; number <= nodes; number++ {
		plan.Nodes = append(plan.Nodes, Node{Number: number, Namespace: fmt.Sprintf("%s-n%d", prefix, number)})
	}
	return plan
}

// Commands are the steps, in order, each a command line for `ip`.
func (p Plan) Commands() []string {
	at := "-n " + p.ControlPlane + " "
	commands := []string{
		"netns add " + p.ControlPlane,
		at + "link set lo up",
		at + "link add br0 type bridge",
		at + "addr add " + ControlPlane + "/24 dev br0",
		at + "link set br0 up",
		// kube-proxy leads what goes to a Service elsewhere, once there is any way to go.
		at + "route add " + Services + " dev br0",
	}
	for _, node := range p.Nodes {
		inside := "-n " + node.Namespace + " "
		commands = append(commands,
			"netns add "+node.Namespace,
			inside+"link set lo up",
			at+"link add "+node.Link()+" type veth peer name eth0 netns "+node.Namespace,
			at+"link set "+node.Link()+" master br0 up",
			inside+"addr add "+node.Address()+"/24 dev eth0",
			inside+"link set eth0 up",
			inside+"route add default via "+ControlPlane,
			at+"route add "+node.Pods()+" via "+node.Address(),
		)
	}
	for _, node := range p.Nodes {
		for _, other := range p.Nodes {
			if node != other {
				commands = append(commands, "-n "+node.Namespace+" route add "+other.Pods()+" via "+other.Address())
			}
		}
	}
	return commands
}

// Create makes the namespaces and lets them forward. Traffic between two pods of one node passes only a bridge, and
// has to pass the firewall too for Services to work.
func (p Plan) Create(ctx context.Context) error {
	for _, command := range p.Commands() {
		if _, err := process.Output(ctx, append([]string{"ip"}, strings.Fields(command)...)...); err != nil {
			return err
		}
	}
	for _, namespace := range p.all() {
		set := "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"
		if _, err := process.Output(ctx, process.Inside(namespace, []string{"sh", "-ec", set})...); err != nil {
			return err
		}
	}
	return nil
}

func (p Plan) all() []string {
	all := []string{p.ControlPlane}
	for _, node := range p.Nodes {
		all = append(all, node.Namespace)
	}
	return all
}

// SetLink plugs a node's cable in or pulls it.
func (p Plan) SetLink(ctx context.Context, node Node, up bool) error {
	state := map[bool]string{true: "up", false: "down"}[up]
	_, err := process.Output(ctx, "ip", "-n", p.ControlPlane, "link", "set", node.Link(), state)
	return err
}

// SetBlocked drops what passes the node between two addresses, either way, or lets it pass again. One of them is a
// pod's on the node; either may have a port.
func (p Plan) SetBlocked(ctx context.Context, node Node, one, other string, blocked bool) error {
	// Before the rules that let pass what belongs to a connection that is there.
	change := map[bool]string{true: "--insert", false: "--delete"}[blocked]
	for _, way := range [][2]string{{one, other}, {other, one}} {
		from, to := match("--source", "--sport", way[0]), match("--destination", "--dport", way[1])
		rule := strings.Fields("iptables --wait " + change + " FORWARD --protocol tcp" + from + to + " --jump DROP")
		if _, err := process.Output(ctx, process.Inside(node.Namespace, rule)...); err != nil {
			return err
		}
	}
	return nil
}

func match(address, port, value string) string {
	if host, number, found := strings.Cut(value, ":"); found {
		return " " + address + " " + host + " " + port + " " + number
	}
	return " " + address + " " + value
}

// Remove deletes every namespace whose name starts with `prefix`, and the folder of them if nobody else has one.
func Remove(ctx context.Context, prefix string) error {
	entries, err := os.ReadDir(namespaces)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	left := len(entries)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix+"-") {
			if _, err := process.Output(ctx, "ip", "netns", "delete", entry.Name()); err != nil {
				return err
			}
			left--
		}
	}
	if left == 0 {
		// `ip netns` mounted the folder on itself.
		_, _ = process.Output(ctx, "umount", namespaces)
		_ = os.Remove(namespaces)
	}
	return nil
}
