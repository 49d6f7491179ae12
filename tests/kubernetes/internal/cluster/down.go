package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hg-operator.dev/tests/kubernetes/internal/cgroup"
	"hg-operator.dev/tests/kubernetes/internal/network"
)

const (
	// Folders that cannot be put elsewhere: where libcni notes what it did, where the kubelet links to logs, and where it
	// waits for device plugins.
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
	notes, err := c.networkNotes()
	if err != nil {
		return err
	}
	links, err := filepath.Glob(filepath.Join(kubeletLogs, "*"))
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, c.Directory+"/") {
			notes = append(notes, link)
		}
	}
	socket := filepath.Join(devicePlugins, "kubelet.sock")
	if _, err := net.Dial("unix", socket); errors.Is(err, syscall.ECONNREFUSED) {
		notes = append(notes, socket)
	}
	for _, note := range notes {
		if err := os.Remove(note); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	removeEmpty(networkResults, filepath.Dir(networkResults), kubeletLogs)
	removeEmpty(devicePlugins, filepath.Dir(devicePlugins))
	return nil
}

// networkNotes are NETWORK-SANDBOX-INTERFACE. That of the loopback interface does not say whose it is, but each
// sandbox has one of our own network too.
func (c Cluster) networkNotes() ([]string, error) {
	notes, err := filepath.Glob(filepath.Join(networkResults, c.Prefix+"-*-eth0"))
	for _, note := range notes {
		parts := strings.Split(filepath.Base(note), "-")
		sandbox := parts[len(parts)-2]
		notes = append(notes, filepath.Join(networkResults, "cni-loopback-"+sandbox+"-lo"))
	}
	return notes, err
}

// removeEmpty leaves alone what others use too.
func removeEmpty(directories ...string) {
	for _, directory := range directories {
		_ = os.Remove(directory)
	}
}
