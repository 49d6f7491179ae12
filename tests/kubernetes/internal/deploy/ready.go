package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"hg-operator.dev/tests/kubernetes/internal/controlplane"
)

// Ready is what a test reads: the keys of all-in-one's ready file, and how to ask Kubernetes.
type Ready struct {
	SSH SSH `json:"ssh"`
	// HTTP is the Service of all mirrors, Mirrors each for itself.
	HTTP    string   `json:"http"`
	Mirrors []string `json:"mirrors"`
	// Status is the list of SshMasters as JSON.
	Status string `json:"status"`
	// Kubectl is a command line.
	Kubectl    string `json:"kubectl"`
	Kubeconfig string `json:"kubeconfig"`
	Namespace  string `json:"namespace"`
}

// SSH is where and as whom to push.
type SSH struct {
	Host         string `json:"host"`
	Port         int    `json:"port"`
	User         string `json:"user"`
	IdentityFile string `json:"identityFile"`
}

// Place is something to reach: a port of a Service or a pod.
type Place struct {
	// Listen is an address of loopback.
	Listen string
	// Kind is `service` or `pod`, as kubectl says.
	Kind, Name string
	Port       int
	// Subdomain of a pod: its headless Service.
	Subdomain string
}

// Host is the name inside of the cluster, with the port.
func (p Place) Host() string {
	name := p.Name
	if p.Subdomain != "" {
		name += "." + p.Subdomain
	}
	return fmt.Sprintf("%s.%s.svc.cluster.local:%d", name, Namespace, p.Port)
}

// Places are those of the quickstart: the master's SSH first, then the mirrors' Service, then each mirror.
func (d Deployment) Places(ctx context.Context) ([]Place, error) {
	template := `{range .items[*]}{.metadata.name} {.spec.ports[0].port}{"\n"}{end}`
	var places []Place
	for _, kind := range []struct{ resource, suffix string }{{"sshmasters", "-ssh"}, {"mirrorpools", "-http"}} {
		name, err := d.inNamespace(ctx, "get", kind.resource, "--output=jsonpath={.items[0].metadata.name}")
		if err != nil {
			return nil, err
		}
		output, err := d.inNamespace(ctx, "get", "services", "--output=jsonpath="+template)
		if err != nil {
			return nil, err
		}
		port, err := portOf(output, name+kind.suffix)
		if err != nil {
			return nil, err
		}
		places = append(places, Place{Kind: "service", Name: name + kind.suffix, Port: port})
	}
	pods, err := d.inNamespace(ctx, "get", "pods", "--selector=app.kubernetes.io/component=mirror",
		`--output=jsonpath={range .items[*]}{.metadata.name} {.spec.subdomain}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(pods) {
		if fields := strings.Fields(line); len(fields) == 2 {
			places = append(places, Place{Kind: "pod", Name: fields[0], Subdomain: fields[1], Port: mirrorPort})
		}
	}
	for index := range places {
		if places[index].Listen, err = freePort(); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// mirrorPort is every mirror's own.
const mirrorPort = 8080

func portOf(services, name string) (int, error) {
	for line := range strings.Lines(services) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("there is no Service %s", name)
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// NewReady puts together what the places and the users say.
func (d Deployment) NewReady(places []Place, users Users, status string) (Ready, error) {
	if len(places) < 2 {
		return Ready{}, errors.New("there is no SSH master or no pool of mirrors")
	}
	host, port, err := net.SplitHostPort(places[0].Listen)
	if err != nil {
		return Ready{}, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return Ready{}, err
	}
	ready := Ready{
		SSH:        SSH{Host: host, Port: number, User: users.User, IdentityFile: users.IdentityFile},
		HTTP:       "http://" + places[1].Listen,
		Mirrors:    []string{},
		Status:     status,
		Kubectl:    strings.Join(d.Kubectl(), " "),
		Kubeconfig: d.Kubeconfig,
		Namespace:  Namespace,
	}
	for _, place := range places[2:] {
		ready.Mirrors = append(ready.Mirrors, "http://"+place.Listen)
	}
	return ready, nil
}

// ReadyFile is where it is written.
func (d Deployment) ReadyFile() string { return filepath.Join(d.Directory, "ready.json") }

// Write makes the file appear whole or not at all.
func (r Ready) Write(file string) error { return controlplane.WriteJSON(file, r) }

// Text is commands that work when pasted. `repository` is the path of any.
func (r Ready) Text(repository string) string {
	ssh := fmt.Sprintf("ssh -i %s -o StrictHostKeyChecking=accept-new", r.SSH.IdentityFile)
	return fmt.Sprintf(`
Ready. Clone from the mirrors:

  hg clone %[1]s/%[2]s

Push to the master:

  cd %[3]s
  echo hello > README && hg commit -A -m first -u %[4]s
  hg --config ui.ssh='%[5]s' push ssh://%[4]s@%[6]s:%[7]d/%[2]s

Look:

  %[8]s -n %[9]s get sshmasters,mirrorpools,hgrepositories,pods

make cluster-down removes it all.
`, r.HTTP, repository, path.Base(repository), r.SSH.User, ssh, r.SSH.Host, r.SSH.Port, r.Kubectl, r.Namespace)
}
