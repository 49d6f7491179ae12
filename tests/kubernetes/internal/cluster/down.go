package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hg-operator.dev/tests/kubernetes/internal/cgroup"
	"hg-operator.dev/tests/kubernetes/internal/network"
)

const (
	// networkResults is where libcni notes what it did, and kubeletLogs where the kubelet links to logs; neither can be
	// put elsewhere.
	networkResults = "/var/lib/cni/results"
	kubeletLogs    = "/var/log/containers"
	devicePlugins  = "/var/lib/kubelet/device-plugins"
)

// Down removes every trace, of a cluster that runs as of one that crashed half-way or was never there.
func (c Cluster) Down(ctx context.Context) error {
	if err := c.stop(ctx); err != nil {
		return err
	}
	return os.RemoveAll(c.Directory)
}

// stop removes everything but the folder. Each step looks at what is there, never at what should be.
func (c Cluster) stop(ctx context.Context) error {
	tree, err := cgroup.NewTree(c.Prefix)
	if err != nil {
		return err
	}
	if err := tree.Leave(); err != nil {
		return err
	}
	if err := tree.Kill(); err != nil {
		return err
	}
	c.removeSockets()
	if err := unmountBelow(c.Directory); err != nil {
		return err
	}
	if err := network.Remove(ctx, c.Prefix); err != nil {
		return err
	}
	if err := tree.Remove(); err != nil {
		return err
	}
	return c.removeNotes()
}

// containerd's shims listen in a folder that cannot be chosen; each notes its socket in its own folder.
func (c Cluster) removeSockets() {
	notes, _ := filepath.Glob(c.file("*/containerd-state/io.containerd.runtime.v2.task/*/*/address"))
	for _, note := range notes {
		if address, err := os.ReadFile(note); err == nil {
			_ = os.Remove(strings.TrimPrefix(strings.TrimSpace(string(address)), "unix://"))
		}
	}
	removeEmpty("/run/containerd/s", "/run/containerd")
}

func unmountBelow(directory string) error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	points := mountsBelow(string(text), directory)
	for _, point := range points {
		// Lazily, for a process that is just dying may still hold it.
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// mountsBelow reads /proc/self/mounts: the last mounted comes first.
func mountsBelow(mounts, directory string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 1 {
			point := unescape.Replace(fields[1])
			if strings.HasPrefix(point, directory+"/") {
				points = append(points, point)
			}
		}
	}
	slices.Reverse(points)
	return points
}

func (c Cluster) removeNotes() error {
	results, err := filepath.Glob(filepath.Join(networkResults, c.Prefix+"-*"))
	if err != nil {
		return err
	}
	links, err := filepath.Glob(filepath.Join(kubeletLogs, "*"))
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, c.Directory+"/") {
			results = append(results, link)
		}
	}
	for _, note := range results {
		if err := os.Remove(note); err != nil {
			return err
		}
	}
	removeEmpty(networkResults, filepath.Dir(networkResults), kubeletLogs)
	return nil
}

// removeEmpty leaves alone what others use too.
func removeEmpty(directories ...string) {
	for _, directory := range directories {
		_ = os.Remove(directory)
	}
}
