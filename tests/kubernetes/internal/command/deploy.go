package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"hg-operator.dev/tests/kubernetes/internal/cluster"
	"hg-operator.dev/tests/kubernetes/internal/deploy"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

// deployment reads the flags that `deploy` and `undeploy` share. Without a kubeconfig it is about the cluster in the
// folder, which is returned too.
func deployment(name string, arguments []string) (deploy.Deployment, *cluster.Cluster, error) {
	var wanted deploy.Deployment
	if _, err := parse(name, arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&wanted.Tree, "tree", ".", "the repository's root")
		flags.StringVar(&wanted.Directory, "dir", "", "the cluster's folder")
		flags.StringVar(&wanted.Kubeconfig, "kubeconfig", "", "another cluster")
		flags.StringVar(&wanted.Image, "image", "", "full name with a tag")
	}); err != nil {
		return wanted, nil, err
	}
	here, err := at(wanted.Directory)
	if err != nil {
		return wanted, nil, err
	}
	wanted.Directory, wanted.Programs = here.Directory, filepath.Dir(here.Program)
	if wanted.Kubeconfig != "" {
		wanted.Kubeconfig, err = filepath.Abs(wanted.Kubeconfig)
		return wanted, nil, err
	}
	wanted.Kubeconfig = here.Kubeconfig()
	return wanted, &here, nil
}

func install(ctx context.Context, arguments []string) error {
	wanted, own, err := deployment("deploy", arguments)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	if err := wanted.Install(ctx, process.NewProgress(os.Stderr)); err != nil {
		return err
	}
	users, err := deploy.PrepareUsers(ctx, wanted.Directory)
	if err != nil {
		return err
	}
	places, err := wanted.Places(ctx)
	if err != nil {
		return err
	}
	self, err := program()
	if err != nil {
		return err
	}
	status, err := wanted.Reach(ctx, own, self, places)
	if err != nil {
		return err
	}
	ready, err := wanted.NewReady(places, users, status)
	if err != nil {
		return err
	}
	if err := ready.Write(wanted.ReadyFile()); err != nil {
		return err
	}
	repository, err := process.Output(ctx, wanted.Kubectl("--namespace="+deploy.Namespace, "get", "hgrepositories",
		"--output=jsonpath={.items[0].spec.path}")...)
	fmt.Print(ready.Text(repository))
	return err
}

func uninstall(ctx context.Context, arguments []string) error {
	wanted, _, err := deployment("undeploy", arguments)
	if err != nil {
		return err
	}
	if err := wanted.Unreach(); err != nil {
		return err
	}
	if err := wanted.Uninstall(ctx); err != nil {
		return err
	}
	return os.RemoveAll(wanted.Directory)
}

var forwarded = regexp.MustCompile(`^(127\.[0-9.]+:[0-9]+)=(service|pod)/([a-z0-9.-]+):([0-9]+)$`)

func portForward(ctx context.Context, arguments []string) error {
	var kubeconfig string
	texts, err := parse("port-forward", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&kubeconfig, "kubeconfig", "", "of the cluster")
	})
	if err != nil {
		return err
	}
	var places []deploy.Place
	for _, text := range texts {
		parts := forwarded.FindStringSubmatch(text)
		if parts == nil {
			return fmt.Errorf("%q: write '127.0.0.1:PORT=service/NAME:PORT'", text)
		}
		port, err := strconv.Atoi(parts[4])
		if err != nil {
			return err
		}
		places = append(places, deploy.Place{Listen: parts[1], Kind: parts[2], Name: parts[3], Port: port})
	}
	self, err := program()
	if err != nil {
		return err
	}
	deploy.PortForward(ctx, []string{self, "kubectl", "--kubeconfig=" + kubeconfig}, places)
	return nil
}
