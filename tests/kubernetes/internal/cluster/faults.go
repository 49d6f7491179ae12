package cluster

import (
	"context"

	"hg-operator.dev/tests/kubernetes/internal/cgroup"
)

// Pod is the processes of a pod.
func (c Cluster) Pod(uid string) (cgroup.Pod, error) {
	tree, err := cgroup.NewTree(c.Prefix)
	if err != nil {
		return cgroup.Pod{}, err
	}
	return tree.Pod(uid)
}

// StopAPIServer kills the API server's process, as a crash would.
func (c Cluster) StopAPIServer() error { return c.controlPlane().StopAPIServer() }

// StartAPIServer returns when it answers again.
func (c Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.Join(); err != nil {
		return err
	}
	_, err := c.controlPlane().StartAPIServer(ctx)
	return err
}
