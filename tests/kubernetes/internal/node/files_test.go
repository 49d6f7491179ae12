package node

import (
	"encoding/json"
	"strings"
	"testing"

	"hg-operator.dev/tests/kubernetes/internal/network"
)

func plan() Plan {
	return Plan{Node: network.Node{Number: 2, Namespace: "a-n2"}, Cluster: "/c", Program: "/testbed", Group: "a"}
}

func TestNoPlaceholderIsLeft(t *testing.T) {
	for name, text := range plan().Files() {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "@") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func TestNodesShareNothing(t *testing.T) {
	files := plan().Files()
	for name, expected := range map[string][]string{
		"containerd.toml": {`root = "/c/n2/containerd"`, `state = "/c/n2/containerd-state"`,
			`address = "/c/n2/containerd.sock"`},
		"kubelet.yaml": {"cgroupRoot: /a/n2", "containerRuntimeEndpoint: unix:///c/n2/containerd.sock"},
		"proxy.yaml":   {"hostnameOverride: n2", "bindAddress: 10.200.0.12"},
		"resolv.conf":  {"nameserver 10.200.0.1"},
	} {
		for _, line := range expected {
			if !strings.Contains(files[name], line) {
				t.Errorf("%s has no %q", name, line)
			}
		}
	}
}

func TestTheNetworkConfigurationIsJSON(t *testing.T) {
	var parsed struct{ Name string }
	err := json.Unmarshal([]byte(plan().Files()["cni/10-pods.conflist"]), &parsed)
	if err != nil || parsed.Name != "a-n2" {
		t.Errorf("%+v, %v", parsed, err)
	}
}
