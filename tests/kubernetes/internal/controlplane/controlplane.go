// Package controlplane starts etcd, the API server and the controllers of one cluster.
package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/pki"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

const (
	etcdLimit      = 60 * time.Second
	apiServerLimit = 120 * time.Second
	readyPath      = "--raw=/readyz"
	apiServerName  = "kube-apiserver"
)

// Plan is where the control plane keeps its files and where it listens.
type Plan struct {
	// Directory holds the certificates, etcd's data, the kubeconfigs and the logs.
	Directory string
	// Program is the testbed itself.
	Program string
	// Namespace is the network namespace to run in, or empty for this program's own.
	Namespace string
	// DiesWithParent is for a control plane that serves one test.
	DiesWithParent bool
	// Listen is the API server's address, Advertise what others reach it at.
	Listen, Advertise string
	// Ports on loopback, and the API server's on Listen.
	EtcdPort, EtcdPeerPort, APIPort int
	// Services is the range of ClusterIPs, APIService the first of them.
	Services, APIService string
}

// PKI is the folder of keys and certificates.
func (p Plan) PKI() string { return filepath.Join(p.Directory, "pki") }

// Kubeconfig is the file of one identity.
func (p Plan) Kubeconfig(identity string) string { return filepath.Join(p.Directory, identity+".conf") }

// Server is the API server as its own components reach it.
func (p Plan) Server() string { return fmt.Sprintf("https://127.0.0.1:%d", p.APIPort) }

func (p Plan) file(name string) string { return filepath.Join(p.PKI(), name) }

// Identities are those that the control plane itself needs.
func (p Plan) Identities() []pki.Identity {
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local"}
	return []pki.Identity{
		{File: "apiserver", CommonName: "kube-apiserver", Names: names,
			Addresses: []string{"127.0.0.1", p.APIService, p.Advertise}},
		{File: "apiserver-kubelet", CommonName: "kube-apiserver-kubelet", Organizations: []string{"system:masters"}},
		{File: "front-proxy", CommonName: "front-proxy-client"},
		{File: "admin", CommonName: "admin", Organizations: []string{"system:masters"}},
		{File: "controllers", CommonName: "system:kube-controller-manager"},
		{File: "scheduler", CommonName: "system:kube-scheduler"},
		{File: "proxy", CommonName: "system:kube-proxy"},
	}
}

// Prepare makes what has to be there before the first program starts.
func (p Plan) Prepare() (*pki.Authority, error) {
	authority, err := pki.NewAuthority(p.PKI())
	if err != nil {
		return nil, err
	}
	for _, identity := range p.Identities() {
		if err := authority.Issue(identity); err != nil {
			return nil, err
		}
	}
	for _, identity := range []string{"admin", "controllers", "scheduler"} {
		if err := authority.WriteKubeconfig(p.Kubeconfig(identity), p.Server(), identity); err != nil {
			return nil, err
		}
	}
	return authority, os.MkdirAll(filepath.Join(p.Directory, "etcd"), 0o700)
}

// Etcd is its command line. The data is thrown away with the cluster, so nothing waits for the disk.
func (p Plan) Etcd() []string {
	client := fmt.Sprintf("http://127.0.0.1:%d", p.EtcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", p.EtcdPeerPort)
	return []string{p.Program, "etcd",
		"--data-dir=" + filepath.Join(p.Directory, "etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
		"--unsafe-no-fsync", "--log-level=warn"}
}

// APIServer is its command line.
func (p Plan) APIServer() []string {
	command := []string{p.Program, apiServerName,
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", p.EtcdPort),
		"--bind-address=" + p.Listen, "--advertise-address=" + p.Advertise,
		fmt.Sprintf("--secure-port=%d", p.APIPort),
		"--tls-cert-file=" + p.file("apiserver.crt"), "--tls-private-key-file=" + p.file("apiserver.key"),
		"--client-ca-file=" + p.file("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.file("sa.pub"), "--service-account-signing-key-file=" + p.file("sa.key"),
		"--service-cluster-ip-range=" + p.Services,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--kubelet-client-certificate=" + p.file("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + p.file("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + p.file("ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + p.file("front-proxy.crt"), "--proxy-client-key-file=" + p.file("front-proxy.key")}
	if p.Advertise == "127.0.0.1" {
		// The Service `kubernetes` may not lead to a loopback address, and no pod is there to use it.
		command = append(command, "--endpoint-reconciler-type=none")
	}
	return command
}

// Controllers is the command line of kube-controller-manager. A node that is cut off counts as lost after 16 s instead
// of 50.
func (p Plan) Controllers() []string {
	return []string{p.Program, "kube-controller-manager",
		"--kubeconfig=" + p.Kubeconfig("controllers"), "--use-service-account-credentials",
		"--service-account-private-key-file=" + p.file("sa.key"), "--root-ca-file=" + p.file("ca.crt"),
		"--cluster-signing-cert-file=" + p.file("ca.crt"), "--cluster-signing-key-file=" + p.file("ca.key"),
		"--leader-elect=false", "--node-monitor-grace-period=16s", "--secure-port=0"}
}

// Scheduler is its command line.
func (p Plan) Scheduler() []string {
	return []string{p.Program, "kube-scheduler", "--kubeconfig=" + p.Kubeconfig("scheduler"), "--leader-elect=false",
		"--secure-port=0"}
}

// Kubectl is a command line that talks to the API server as the administrator, from where it runs.
func (p Plan) Kubectl(arguments ...string) []string {
	command := []string{p.Program, "kubectl", "--kubeconfig=" + p.Kubeconfig("admin")}
	return process.Inside(p.Namespace, append(command, arguments...))
}

func (p Plan) daemon(name string, command []string) (*process.Running, error) {
	return process.Daemon{Name: name, Directory: p.Directory, Namespace: p.Namespace,
		DiesWithParent: p.DiesWithParent, Command: command}.Start()
}

// Start returns once the API server answers and the controllers have made the first service account. Those that run
// are returned with an error too.
func (p Plan) Start(ctx context.Context, scheduler bool) ([]*process.Running, error) {
	etcd, err := p.daemon("etcd", p.Etcd())
	if err != nil {
		return nil, err
	}
	running := []*process.Running{etcd}
	// The API server tries again by itself until etcd answers, for less time than a busy machine may need.
	listening := filepath.Join(p.Directory, "etcd", "member", "wal")
	exists := func(context.Context) error { _, err := os.Stat(listening); return err }
	if err := process.Until(ctx, "etcd", etcdLimit, exists, etcd); err != nil {
		return running, err
	}
	apiServer, err := p.StartAPIServer(ctx, running...)
	if apiServer != nil {
		running = append(running, apiServer)
	}
	if err != nil {
		return running, err
	}
	parts := []struct {
		name    string
		command []string
	}{
		{"kube-controller-manager", p.Controllers()},
		{"kube-scheduler", p.Scheduler()},
	}
	for _, part := range parts {
		if part.name == "kube-scheduler" && !scheduler {
			continue
		}
		started, err := p.daemon(part.name, part.command)
		if err != nil {
			return running, err
		}
		running = append(running, started)
	}
	account := func(ctx context.Context) error { return p.ask(ctx, "get", "serviceaccount", "default") }
	return running, process.Until(ctx, "kube-controller-manager", apiServerLimit, account, running...)
}

// StartAPIServer returns once the API server answers. It needs the others to run.
func (p Plan) StartAPIServer(ctx context.Context, others ...*process.Running) (*process.Running, error) {
	started, err := p.daemon(apiServerName, p.APIServer())
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error { return p.ask(ctx, "get", readyPath) }
	return started, process.Until(ctx, apiServerName, apiServerLimit, ready, append(others, started)...)
}

// StopAPIServer kills it. Everything else goes on.
func (p Plan) StopAPIServer() error {
	return process.StopEarlier(p.Directory, apiServerName, apiServerName)
}

func (p Plan) ask(ctx context.Context, arguments ...string) error {
	_, err := process.Output(ctx, p.Kubectl(arguments...)...)
	return err
}
