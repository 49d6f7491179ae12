package command

import (
	"context"
	"fmt"

	"hg-operator.dev/tests/kubernetes/internal/cgroup"
	"hg-operator.dev/tests/kubernetes/internal/network"
)

func link(ctx context.Context, arguments []string) error {
	plan, words, err := networkOf("cluster link", arguments)
	if err != nil {
		return err
	}
	for _, node := range plan.Nodes {
		if len(words) == 2 && words[0] == node.Name() && (words[1] == "up" || words[1] == "down") {
			return plan.SetLink(ctx, node, words[1] == "up")
		}
	}
	return fmt.Errorf("write 'link --dir DIR NODE up|down', NODE is n1 to n%d", len(plan.Nodes))
}

func block(blocked bool) func(context.Context, []string) error {
	return func(ctx context.Context, arguments []string) error {
		plan, words, err := networkOf("cluster block", arguments)
		if err != nil {
			return err
		}
		for _, node := range plan.Nodes {
			if len(words) == 3 && words[0] == node.Name() {
				return plan.SetBlocked(ctx, node, words[1], words[2], blocked)
			}
		}
		return fmt.Errorf("write 'block|unblock --dir DIR NODE ADDRESS[:PORT] ADDRESS[:PORT]', NODE is n1 to n%d",
			len(plan.Nodes))
	}
}

// networkOf is that of the cluster which is up, with the command's words.
func networkOf(name string, arguments []string) (network.Plan, []string, error) {
	there, words, err := inDirectory(name, arguments)
	if err != nil {
		return network.Plan{}, nil, err
	}
	state, err := there.State()
	if err != nil {
		return network.Plan{}, nil, err
	}
	if state == nil {
		return network.Plan{}, nil, fmt.Errorf("no cluster is up in %s", there.Directory)
	}
	return there.Network(state.Nodes), words, nil
}

// toPod does something to the processes of a pod.
func toPod(name string, do func(cgroup.Pod) error) func(context.Context, []string) error {
	return func(_ context.Context, arguments []string) error {
		there, words, err := inDirectory("cluster "+name, arguments)
		if err != nil {
			return err
		}
		if len(words) != 1 {
			return fmt.Errorf("write '%s --dir DIR UID', as in metadata.uid of the pod", name)
		}
		pod, err := there.Pod(words[0])
		if err != nil {
			return err
		}
		return do(pod)
	}
}

func switchAPIServer(ctx context.Context, arguments []string) error {
	there, words, err := inDirectory("cluster api-server", arguments)
	if err != nil {
		return err
	}
	if len(words) != 1 || words[0] != "up" && words[0] != "down" {
		return fmt.Errorf("write 'api-server --dir DIR up|down'")
	}
	if words[0] == "down" {
		return there.StopAPIServer()
	}
	return there.StartAPIServer(ctx)
}
