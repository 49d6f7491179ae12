package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/cluster"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

const (
	forwarderName = "forward-quickstart"
	statusName    = "status"
	// kube-proxy of the control plane waits for 30 s for a node that is none, before it leads anything to a Service.
	openLimit  = 90 * time.Second
	askLimit   = 5 * time.Second
	againAfter = time.Second
)

// statusPath is the only part of the API that the status address shows, and only for reading.
const statusPath = "/apis/hg-operator.dev/v1alpha1/namespaces/" + Namespace

// Reach makes the places reachable on loopback and returns the address of the status. `own` is the cluster of this
// machine; without one, kubectl forwards.
func (d Deployment) Reach(ctx context.Context, own *cluster.Cluster, program string, places []Place) (string, error) {
	if err := d.Unreach(); err != nil {
		return "", err
	}
	if len(places) == 0 {
		return "", errors.New("there is nothing to reach")
	}
	var rules []string
	for _, place := range places {
		if own != nil {
			rules = append(rules, place.Listen+"="+place.Host())
		} else {
			rules = append(rules, fmt.Sprintf("%s=%s/%s:%d", place.Listen, place.Kind, place.Name, place.Port))
		}
	}
	var forwarder *process.Running
	var err error
	if own != nil {
		if err := own.Join(); err != nil {
			return "", err
		}
		forwarder, err = own.Forward(forwarderName, rules...)
	} else {
		command := append([]string{program, "port-forward", "--kubeconfig=" + d.Kubeconfig}, rules...)
		forwarder, err = process.Daemon{Name: forwarderName, Directory: d.Directory, Command: command}.Start()
	}
	if err != nil {
		return "", err
	}
	status, err := freePort()
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(status)
	if err != nil {
		return "", err
	}
	proxy, err := process.Daemon{Name: statusName, Directory: d.Directory, Command: d.Kubectl("proxy", "--port="+port,
		"--accept-paths=^"+statusPath+"/", "--reject-methods=POST,PUT,PATCH,DELETE")}.Start()
	if err != nil {
		return "", err
	}
	url := "http://" + status + statusPath + "/sshmasters"
	answers := func(ctx context.Context) error {
		if err := saysSSH(places[0].Listen); err != nil {
			return err
		}
		for _, place := range places[1:] {
			if err := saysHTTP(ctx, "http://"+place.Listen+"/"); err != nil {
				return err
			}
		}
		return saysHTTP(ctx, url)
	}
	return url, process.Until(ctx, "loopback", openLimit, answers, forwarder, proxy)
}

// saysSSH reads the server's first words. That somebody takes the connection says nothing: the forwarder does.
func saysSSH(address string) error {
	connection, err := net.DialTimeout("tcp", address, askLimit)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(askLimit)); err != nil {
		return err
	}
	greeting := make([]byte, len("SSH-"))
	if _, err := io.ReadFull(connection, greeting); err != nil || string(greeting) != "SSH-" {
		return fmt.Errorf("%s does not speak SSH: %q, %v", address, greeting, err)
	}
	return nil
}

// saysHTTP is content with any answer that blames nobody but the client.
func saysHTTP(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}

// Unreach stops what an earlier Reach started.
func (d Deployment) Unreach() error {
	for name, sign := range map[string]string{forwarderName: "forward", statusName: statusPath} {
		if err := process.StopEarlier(d.Directory, name, sign); err != nil {
			return err
		}
	}
	return nil
}

// PortForward keeps one `kubectl port-forward` for each place, until `ctx` ends: it ends with the pod that it chose.
func PortForward(ctx context.Context, kubectl []string, places []Place) {
	var all sync.WaitGroup
	for _, place := range places {
		all.Go(func() {
			for ctx.Err() == nil {
				forwardOnce(ctx, kubectl, place)
				select {
				case <-ctx.Done():
				case <-time.After(againAfter):
				}
			}
		})
	}
	all.Wait()
}

func forwardOnce(ctx context.Context, kubectl []string, place Place) {
	host, port, err := net.SplitHostPort(place.Listen)
	if err != nil {
		fmt.Println(err)
		return
	}
	arguments := append(kubectl[1:len(kubectl):len(kubectl)], "--namespace="+Namespace, "port-forward",
		"--address="+host, place.Kind+"/"+place.Name, fmt.Sprintf("%s:%d", port, place.Port))
	command := exec.CommandContext(ctx, kubectl[0], arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := command.CombinedOutput()
	fmt.Printf("%s: %v: %s\n", place.Name, err, output)
}
