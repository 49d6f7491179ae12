package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	freezeLimit = 20 * time.Second
	// holder is the program of the container that holds a pod's namespaces: the pod would end with it.
	holder = "pause"
)

// Pod is the control groups of one pod.
type Pod struct {
	hierarchy Hierarchy
	// groups of the pod and its containers, the pod's own first.
	groups []string
}

// Pod finds the groups that the kubelet has made for a pod. The UID stays when a name has been given to another pod.
func (t Tree) Pod(uid string) (Pod, error) {
	hierarchy, err := t.tracking()
	if err != nil {
		return Pod{}, err
	}
	groups, err := t.groups(hierarchy)
	if err != nil {
		return Pod{}, err
	}
	return podOf(hierarchy, groups, uid)
}

func podOf(hierarchy Hierarchy, groups []string, uid string) (Pod, error) {
	pod := Pod{hierarchy: hierarchy}
	for _, group := range groups {
		if base := filepath.Base(group); uid != "" && base == "pod"+uid {
			pod.groups = append(pod.groups, group)
		} else if len(pod.groups) > 0 && strings.HasPrefix(group, pod.groups[0]+"/") {
			pod.groups = append(pod.groups, group)
		}
	}
	if len(pod.groups) == 0 {
		return pod, fmt.Errorf("no pod here has the UID %q", uid)
	}
	return pod, nil
}

// Freeze stops everything in the pod where it is, and returns when all of it stands still. It is done to the pod's own
// group: runc thaws that of a container before it kills it, and then a hung process would not be one.
func (p Pod) Freeze() error {
	return p.set("FROZEN", "1")
}

// Thaw lets everything go on.
func (p Pod) Thaw() error {
	return p.set("THAWED", "0")
}

func (p Pod) set(first, second string) error {
	group := p.groups[0]
	control, told, word, expected := "freezer.state", "freezer.state", first, first
	if p.hierarchy.Unified {
		control, told, word, expected = "cgroup.freeze", "cgroup.events", second, "frozen "+second
	}
	deadline := time.Now().Add(freezeLimit)
	for {
		// Once more each time: a process that is just being made escapes the first one.
		if err := os.WriteFile(filepath.Join(group, control), []byte(word), 0o644); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(group, told))
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte(expected)) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not %s: %s", group, word, bytes.TrimSpace(text))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Kill ends what runs in the pod's containers, and leaves the pod itself.
func (p Pod) Kill() error {
	pids, err := processesOf(p.groups)
	if err != nil {
		return err
	}
	killed := 0
	for _, pid := range pids {
		program, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if errors.Is(err, fs.ErrNotExist) || string(bytes.TrimSpace(program)) == holder {
			continue
		} else if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		killed++
	}
	if killed == 0 {
		return fmt.Errorf("nothing runs in %s", p.groups[0])
	}
	return nil
}
