package controlplane

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"
)

func plan(advertise string) Plan {
	return Plan{Directory: "/d", Program: "/testbed", Namespace: "a-cp", Listen: "0.0.0.0", Advertise: advertise,
		EtcdPort: 1, EtcdPeerPort: 2, APIPort: 3, Services: "10.96.0.0/16", APIService: "10.96.0.1"}
}

func TestEtcdIsOnLoopbackOnly(t *testing.T) {
	command := plan("10.200.0.1").Etcd()
	for _, flag := range []string{"--listen-client-urls=http://127.0.0.1:1", "--listen-peer-urls=http://127.0.0.1:2"} {
		if !slices.Contains(command, flag) {
			t.Errorf("%q is missing", flag)
		}
	}
}

func TestOnlyAControlPlaneOfLoopbackLeavesTheServiceKubernetesAlone(t *testing.T) {
	flag := "--endpoint-reconciler-type=none"
	if slices.Contains(plan("10.200.0.1").APIServer(), flag) || !slices.Contains(plan("127.0.0.1").APIServer(), flag) {
		t.Error("the wrong one does")
	}
}

func TestTheAPIServersCertificateHasEveryAddressItIsReachedAt(t *testing.T) {
	identity := plan("10.200.0.1").Identities()[0]
	for _, address := range []string{"127.0.0.1", "10.96.0.1", "10.200.0.1"} {
		if !slices.Contains(identity.Addresses, address) {
			t.Errorf("%s is missing", address)
		}
	}
}

func TestItEndsWithTheProgramThatStartedIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := untilUnneeded(ctx, os.Getppid()+1); err == nil {
		t.Error("it goes on without its parent")
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if err := untilUnneeded(ended, os.Getppid()); err != nil {
		t.Error(err)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	ports, err := freePorts(3)
	slices.Sort(ports)
	if err != nil || len(slices.Compact(ports)) != 3 {
		t.Errorf("%v, %v", ports, err)
	}
}
