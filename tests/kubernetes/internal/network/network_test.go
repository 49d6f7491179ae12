package network

import (
	"slices"
	"testing"
)

func TestOneNodeNeedsNoRoutesToOthers(t *testing.T) {
	commands := NewPlan("a", 1).Commands()
	expected := []string{
		"netns add a-cp",
		"-n a-cp link set lo up",
		"-n a-cp link add br0 type bridge",
		"-n a-cp addr add 10.200.0.1/24 dev br0",
		"-n a-cp link set br0 up",
		"-n a-cp route add 10.96.0.0/16 dev br0",
		"netns add a-n1",
		"-n a-n1 link set lo up",
		"-n a-cp link add veth1 type veth peer name eth0 netns a-n1",
		"-n a-cp link set veth1 master br0 up",
		"-n a-n1 addr add 10.200.0.11/24 dev eth0",
		"-n a-n1 link set eth0 up",
		"-n a-n1 route add default via 10.200.0.1",
		"-n a-cp route add 10.244.1.0/24 via 10.200.0.11",
	}
	if !slices.Equal(commands, expected) {
		t.Errorf("%q", commands)
	}
}

func TestEachNodeKnowsTheWayToThePodsOfTheOthers(t *testing.T) {
	commands := NewPlan("a", 2).Commands()
	for _, route := range []string{
		"-n a-n1 route add 10.244.2.0/24 via 10.200.0.12", "-n a-n2 route add 10.244.1.0/24 via 10.200.0.11"} {
		if !slices.Contains(commands, route) {
			t.Errorf("%q is missing", route)
		}
	}
}
