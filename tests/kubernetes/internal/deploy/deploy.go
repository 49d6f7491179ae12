// Package deploy installs the chart and the quickstart's resources, waits for them, and tells how to reach them.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/process"
)

const (
	release           = "hg-operator"
	operatorNamespace = "hg-operator"
	// Namespace is the resources'.
	Namespace = "quickstart"

	helmLimit  = 5 * time.Minute
	readyLimit = 5 * time.Minute
	// sayEvery is how long a person waits for a word of what is not ready yet.
	sayEvery = 15 * time.Second
)

// Deployment is what to install where.
type Deployment struct {
	// Tree is the repository's root: charts/ and examples/ are below.
	Tree string
	// Directory gets what is made: keys, ready.json.
	Directory  string
	Kubeconfig string
	// Programs is the folder of kubectl and helm.
	Programs string
	// Image is the full name with a tag.
	Image string
}

// Kubectl is a command line.
func (d Deployment) Kubectl(arguments ...string) []string {
	return append([]string{filepath.Join(d.Programs, "kubectl"), "--kubeconfig=" + d.Kubeconfig}, arguments...)
}

func (d Deployment) helm(arguments ...string) []string {
	command := []string{filepath.Join(d.Programs, "helm"), "--kubeconfig=" + d.Kubeconfig,
		"--namespace=" + operatorNamespace}
	return append(command, arguments...)
}

func (d Deployment) kubectl(ctx context.Context, arguments ...string) (string, error) {
	return process.Output(ctx, d.Kubectl(arguments...)...)
}

func (d Deployment) inNamespace(ctx context.Context, arguments ...string) (string, error) {
	return d.kubectl(ctx, append([]string{"--namespace=" + Namespace}, arguments...)...)
}

// SplitImage separates name and tag; the colon of a port is none of a tag.
func SplitImage(image string) (repository, tag string, err error) {
	at := strings.LastIndex(image, ":")
	if at <= strings.LastIndex(image, "/") {
		return "", "", fmt.Errorf("the image %q has no tag", image)
	}
	return image[:at], image[at+1:], nil
}

// Install returns once every resource of the quickstart is ready.
func (d Deployment) Install(ctx context.Context, say process.Progress) error {
	repository, tag, err := SplitImage(d.Image)
	if err != nil {
		return err
	}
	if err := d.applyNamespaces(ctx); err != nil {
		return err
	}
	_, err = process.Output(ctx, d.helm("upgrade", "--install", release, filepath.Join(d.Tree, "charts", "hg-operator"),
		"--set=image.repository="+repository, "--set=image.tag="+tag,
		"--set=image.pullPolicy=IfNotPresent", "--wait", "--timeout="+helmLimit.String())...)
	if err != nil {
		return errors.Join(err, d.explain(ctx, operatorNamespace))
	}
	say.Say("the chart is installed in the namespace %s", operatorNamespace)
	users, err := PrepareUsers(ctx, d.Directory)
	if err != nil {
		return err
	}
	if err := d.applyUsers(ctx, users); err != nil {
		return err
	}
	if err := d.moveInstances(ctx); err != nil {
		return err
	}
	quickstart := filepath.Join(d.Tree, "examples", "quickstart.yaml")
	if _, err := d.inNamespace(ctx, "apply", "--filename="+quickstart); err != nil {
		return err
	}
	say.Say("the resources of examples/quickstart.yaml are applied in the namespace %s", Namespace)
	if err := d.untilReady(ctx, say); err != nil {
		return errors.Join(err, d.explain(ctx, Namespace))
	}
	return nil
}

// A pod that is not locked down is refused here, ours too.
const namespace = `apiVersion: v1
kind: Namespace
metadata:
  name: %s
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
`

func (d Deployment) applyNamespaces(ctx context.Context) error {
	manifests := fmt.Sprintf(namespace, operatorNamespace) + fmt.Sprintf(namespace, Namespace)
	_, err := process.Feed(ctx, manifests, d.Kubectl("apply", "--filename=-")...)
	return err
}

// applyUsers makes what the resources name and do not bring along.
func (d Deployment) applyUsers(ctx context.Context, users Users) error {
	manifest, err := d.inNamespace(ctx, "create", "secret", "generic", secret,
		"--from-file=authorized_keys="+users.AuthorizedKeys, "--dry-run=client", "--output=yaml")
	if err != nil {
		return err
	}
	_, err = process.Feed(ctx, manifest, d.Kubectl("apply", "--filename=-")...)
	return err
}

// moveInstances gives what an earlier build runs this one's image: the operator leaves instances on the image that
// they have until their resource names another.
func (d Deployment) moveInstances(ctx context.Context) error {
	names, err := d.inNamespace(ctx, "get", "mirrorpools,sshmasters", "--output=name")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(names) {
		patch := fmt.Sprintf(`{"spec":{"image":%q}}`, d.Image)
		if _, err := d.inNamespace(ctx, "patch", name, "--type=merge", "--patch="+patch); err != nil {
			return err
		}
	}
	return nil
}

// untilReady tells from time to time what is missing.
func (d Deployment) untilReady(ctx context.Context, say process.Progress) error {
	said := time.Now()
	return process.Until(ctx, "resources", readyLimit, func(ctx context.Context) error {
		output, err := d.inNamespace(ctx, "get", "sshmasters,mirrorpools,hgrepositories", "--output=jsonpath="+readyStates)
		if err == nil {
			err = NotReady(output)
		}
		if err != nil && time.Since(said) > sayEvery {
			said = time.Now()
			say.Say("waiting: %s", err)
		}
		return err
	})
}

const readyStates = `{range .items[*]}{.kind} {.metadata.name}{"\t"}` +
	`{.status.conditions[?(@.type=="Ready")].status}{"\t"}{.status.conditions[?(@.type=="Ready")].message}{"\t"}` +
	`{.metadata.generation} {.status.conditions[?(@.type=="Ready")].observedGeneration}{"\n"}{end}`

// NotReady reads one line for each resource: which, its condition Ready, the condition's message, and the generations
// of the resource and of what the condition is about.
func NotReady(output string) error {
	var missing []string
	lines := 0
	for line := range strings.Lines(output) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 {
			continue
		}
		lines++
		generation, observed, _ := strings.Cut(fields[3], " ")
		if fields[1] != "True" || generation != observed {
			missing = append(missing, strings.TrimSuffix(fields[0]+": "+fields[2], ": "))
		}
	}
	if lines == 0 {
		return errors.New("there are no resources")
	}
	if len(missing) > 0 {
		return fmt.Errorf("not ready: %s", strings.Join(missing, "; "))
	}
	return nil
}

// explain gathers what a person would look at first.
func (d Deployment) explain(ctx context.Context, namespace string) error {
	var said []string
	for _, question := range [][]string{{"get", "pods", "--output=wide"}, {"get", "events", "--sort-by=.lastTimestamp"}} {
		output, err := d.kubectl(ctx, append([]string{"--namespace=" + namespace}, question...)...)
		if err != nil {
			output = err.Error()
		}
		said = append(said, "--- kubectl "+strings.Join(question, " ")+":\n"+lastLines(output))
	}
	return errors.New(strings.Join(said, "\n"))
}

func lastLines(text string) string {
	const most = 25
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// Uninstall leaves a cluster that is not ours as it was before, apart from the CRDs, which the chart keeps.
func (d Deployment) Uninstall(ctx context.Context) error {
	_, err := d.kubectl(ctx, "delete", "namespace", Namespace, "--ignore-not-found", "--wait")
	_, helm := process.Output(ctx, d.helm("uninstall", release, "--ignore-not-found", "--wait")...)
	return errors.Join(err, helm)
}
