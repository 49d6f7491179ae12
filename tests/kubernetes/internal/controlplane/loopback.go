package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// Ready is what a test of the API server reads.
type Ready struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	// Kubectl is a command line.
	Kubectl string `json:"kubectl"`
	// Program is the testbed itself.
	Program string `json:"program"`
	// Processes are the ids of the components by name, for tests that kill or freeze one.
	Processes map[string]int `json:"processes"`
}

// ServeLoopback runs etcd, the API server and the controllers on ports of 127.0.0.1 that are free, until `ctx` ends
// or the program that started this one is gone. No node, no namespace, no root needed.
func ServeLoopback(ctx context.Context, program, directory, readyFile string) error {
	// The kernel ends the components when the thread that started them ends, hence all of them are started by one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	parent := os.Getppid()
	directory, err := filepath.Abs(directory)
	if err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	plan := Plan{Directory: directory, Program: program, DiesWithParent: true, Listen: "127.0.0.1",
		Advertise: "127.0.0.1", EtcdPort: ports[0], EtcdPeerPort: ports[1], APIPort: ports[2],
		Services: "10.96.0.0/16", APIService: "10.96.0.1"}
	if _, err := plan.Prepare(); err != nil {
		return err
	}
	running, err := plan.Start(ctx, false)
	defer func() {
		// The API server before etcd, for it complains about a missing one for a minute.
		for index := len(running) - 1; index >= 0; index-- {
			running[index].Kill()
		}
	}()
	if err != nil {
		return err
	}
	ready := Ready{Kubeconfig: plan.Kubeconfig("admin"), Server: plan.Server(), Program: program,
		Kubectl: program + " kubectl --kubeconfig=" + plan.Kubeconfig("admin"), Processes: map[string]int{}}
	for _, component := range running {
		ready.Processes[component.Name] = component.PID
	}
	if err := WriteJSON(readyFile, ready); err != nil {
		return err
	}
	return untilUnneeded(ctx, parent)
}

// A test may kill a component; the others go on, and so does the test.
func untilUnneeded(ctx context.Context, parent int) error {
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
	return errors.New("the program that started this one is gone")
}

// WriteJSON makes a file appear whole or not at all.
func WriteJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		// All of them stay taken until the last one is found, so that no port is found twice.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, err
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		ports = append(ports, number)
	}
	return ports, nil
}
