// Package command is the part of the command line that is ours.
package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hg-operator.dev/tests/kubernetes/internal/cgroup"
	"hg-operator.dev/tests/kubernetes/internal/cluster"
	"hg-operator.dev/tests/kubernetes/internal/controlplane"
	"hg-operator.dev/tests/kubernetes/internal/forward"
	"hg-operator.dev/tests/kubernetes/internal/oci"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

// upLimit is for a machine that is slow and busy; every single wait has its own.
const upLimit = 10 * time.Minute

// Usage tells what there is.
const Usage = `testbed: a whole Kubernetes in one program, for tests

  testbed cluster up --dir DIR [--nodes N] [--image ARCHIVE]...
  testbed cluster down --dir DIR
  testbed cluster import --dir DIR ARCHIVE...
  testbed cluster link --dir DIR NODE up|down
  testbed cluster block|unblock --dir DIR NODE ADDRESS[:PORT] ADDRESS[:PORT]
  testbed cluster freeze|thaw|kill --dir DIR UID-OF-A-POD
  testbed cluster api-server --dir DIR up|down
  testbed deploy --dir DIR --image NAME [--tree ROOT] [--kubeconfig FILE]
  testbed undeploy --dir DIR --kubeconfig FILE
  testbed api-server --dir DIR --ready-file FILE
  testbed image --out ARCHIVE --name NAME... [--root TAR] [--file FILE:PLACE]... [--user UID:GID] [--entrypoint PATH]
  testbed forward --namespace FILE --name-server ADDRESS 127.0.0.1:PORT=HOST:PORT...
  testbed etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy|kubectl|provisioner ...
`

// Run is one command; the words of its name may be one or two.
func Run(ctx context.Context, arguments []string) error {
	commands := map[string]func(context.Context, []string) error{
		"cluster up": up, "cluster down": down, "cluster import": load, "cluster link": link,
		"cluster block": block(true), "cluster unblock": block(false),
		"cluster freeze": toPod("freeze", cgroup.Pod.Freeze), "cluster thaw": toPod("thaw", cgroup.Pod.Thaw),
		"cluster kill": toPod("kill", cgroup.Pod.Kill), "cluster api-server": switchAPIServer,
		"api-server": apiServer, "image": image, "forward": forwardPorts,
		"deploy": install, "undeploy": uninstall, "port-forward": portForward,
	}
	for _, words := range []int{2, 1} {
		if len(arguments) >= words {
			if command, found := commands[strings.Join(arguments[:words], " ")]; found {
				return command(ctx, arguments[words:])
			}
		}
	}
	return fmt.Errorf("no such command\n%s", Usage)
}

// list is a flag that may be given again.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func program() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	// CoreDNS and helm stand beside the file itself, not beside a link to it.
	return filepath.EvalSymlinks(path)
}

func at(directory string) (cluster.Cluster, error) {
	if directory == "" {
		return cluster.Cluster{}, fmt.Errorf("--dir is missing\n%s", Usage)
	}
	self, err := program()
	if err != nil {
		return cluster.Cluster{}, err
	}
	return cluster.At(directory, self)
}

func parse(name string, arguments []string, define func(*flag.FlagSet)) (rest []string, err error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	define(flags)
	err = flags.Parse(arguments)
	return flags.Args(), err
}

func up(ctx context.Context, arguments []string) error {
	var directory string
	var nodes int
	var images list
	if _, err := parse("cluster up", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&directory, "dir", "", "the cluster's folder")
		flags.IntVar(&nodes, "nodes", 1, "how many")
		flags.Var(&images, "image", "an archive that every node gets")
	}); err != nil {
		return err
	}
	wanted, err := at(directory)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	return wanted.Up(ctx, process.NewProgress(os.Stderr), nodes, images)
}

// inDirectory is for commands that only need to know which cluster.
func inDirectory(name string, arguments []string) (cluster.Cluster, []string, error) {
	var directory string
	rest, err := parse(name, arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&directory, "dir", "", "the cluster's folder")
	})
	if err != nil {
		return cluster.Cluster{}, nil, err
	}
	there, err := at(directory)
	return there, rest, err
}

func down(ctx context.Context, arguments []string) error {
	there, _, err := inDirectory("cluster down", arguments)
	if err != nil {
		return err
	}
	return there.Down(ctx)
}

func load(ctx context.Context, arguments []string) error {
	there, archives, err := inDirectory("cluster import", arguments)
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if err := there.Import(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

func apiServer(ctx context.Context, arguments []string) error {
	var directory, readyFile string
	if _, err := parse("api-server", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&directory, "dir", "", "a folder for everything that it writes")
		flags.StringVar(&readyFile, "ready-file", "", "written when it answers")
	}); err != nil {
		return err
	}
	if directory == "" || readyFile == "" {
		return fmt.Errorf("--dir or --ready-file is missing\n%s", Usage)
	}
	self, err := program()
	if err != nil {
		return err
	}
	return controlplane.ServeLoopback(ctx, self, directory, readyFile)
}

func image(_ context.Context, arguments []string) error {
	var made oci.Image
	var out, entrypoint string
	var files, names list
	if _, err := parse("image", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&out, "out", "", "the archive")
		flags.Var(&names, "name", "the image's full name with a tag, or several")
		flags.StringVar(&made.RootFileSystem, "root", "", "a tar file")
		flags.StringVar(&made.User, "user", "", "UID:GID")
		flags.StringVar(&entrypoint, "entrypoint", "", "a path in the image")
		flags.Var(&files, "file", "FILE:PLACE")
	}); err != nil {
		return err
	}
	made.Names = names
	if out == "" || len(names) == 0 {
		return fmt.Errorf("--out or --name is missing\n%s", Usage)
	}
	for _, text := range files {
		file, err := oci.ParseFile(text)
		if err != nil {
			return err
		}
		made.Files = append(made.Files, file)
	}
	if entrypoint != "" {
		made.Entrypoint = []string{entrypoint}
	}
	return made.Write(out)
}

func forwardPorts(ctx context.Context, arguments []string) error {
	var forwarder forward.Forwarder
	texts, err := parse("forward", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&forwarder.Namespace, "namespace", "", "the file of a network namespace")
		flags.StringVar(&forwarder.NameServer, "name-server", "", "an address and port inside of it")
	})
	if err != nil {
		return err
	}
	rules, err := forward.ParseRules(texts)
	if err != nil {
		return err
	}
	return forwarder.Serve(ctx, rules)
}
