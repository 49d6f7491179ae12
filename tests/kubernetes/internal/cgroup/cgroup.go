// Package cgroup keeps everything that a cluster starts in one tree of control groups, so that all of it is found
// again, whatever became of the program that started it.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Below the tree's root: what runs outside of pods. A version 2 group with children may hold no process itself.
const processes = "processes"

const killLimit = 20 * time.Second

// Hierarchy is one mounted tree of control groups.
type Hierarchy struct {
	Path string
	// Unified means version 2.
	Unified bool
	// Controllers of a version 1 hierarchy, and the name of one that has none (`systemd`).
	Controllers []string
}

// Mounted lists the hierarchies of this machine.
func Mounted() ([]Hierarchy, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	return Parse(string(text)), nil
}

// Parse reads /proc/self/mounts.
func Parse(mounts string) []Hierarchy {
	var found []Hierarchy
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		switch fields[2] {
		case "cgroup2":
			found = append(found, Hierarchy{Path: fields[1], Unified: true})
		case "cgroup":
			var controllers []string
			for option := range strings.SplitSeq(fields[3], ",") {
				controllers = append(controllers, strings.TrimPrefix(option, "name="))
			}
			found = append(found, Hierarchy{Path: fields[1], Controllers: controllers})
		}
	}
	return found
}

// Tree is the part of every hierarchy that belongs to one cluster.
type Tree struct {
	Name        string
	hierarchies []Hierarchy
}

// NewTree does not make anything yet.
func NewTree(name string) (Tree, error) {
	hierarchies, err := Mounted()
	return Tree{Name: name, hierarchies: hierarchies}, err
}

// tracking is the hierarchy in which processes are found again.
func (t Tree) tracking() (Hierarchy, error) {
	for _, wanted := range []string{"freezer", "pids", "systemd"} {
		for _, hierarchy := range t.hierarchies {
			if slices.Contains(hierarchy.Controllers, wanted) {
				return hierarchy, nil
			}
		}
	}
	for _, hierarchy := range t.hierarchies {
		if hierarchy.Unified {
			return hierarchy, nil
		}
	}
	return Hierarchy{}, errors.New("no control groups are mounted")
}

// Create makes the groups of each node, and the one for everything outside of pods.
func (t Tree) Create(nodes []string) error {
	for _, hierarchy := range t.hierarchies {
		tops := append([]string{""}, append(nodes, processes)...)
		for _, top := range tops {
			group := filepath.Join(hierarchy.Path, t.Name, top)
			if err := os.MkdirAll(group, 0o755); err != nil {
				return err
			}
			if slices.Contains(hierarchy.Controllers, "cpuset") {
				if err := inheritCPUSet(group); err != nil {
					return err
				}
			}
		}
		if hierarchy.Unified && len(t.hierarchies) == 1 {
			if err := enableControllers(hierarchy.Path, filepath.Join(hierarchy.Path, t.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A version 1 cpuset starts empty and takes no process until it names processors and memory.
func inheritCPUSet(group string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(group), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func enableControllers(groups ...string) error {
	for _, group := range groups {
		available, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for _, controller := range strings.Fields(string(available)) {
			switch controller {
			case "cpu", "cpuset", "io", "memory", "pids", "hugetlb":
				control := filepath.Join(group, "cgroup.subtree_control")
				if err := os.WriteFile(control, []byte("+"+controller), 0o644); err != nil {
					return fmt.Errorf("%s: %w", controller, err)
				}
			}
		}
	}
	return nil
}

// Join puts this process into the tree; whatever it starts from now on is in there too.
func (t Tree) Join() error {
	return t.move(filepath.Join(t.Name, processes))
}

// Leave takes this process out again, so that the tree can be removed.
func (t Tree) Leave() error {
	return t.move("")
}

func (t Tree) move(group string) error {
	hierarchy, err := t.tracking()
	if err != nil {
		return err
	}
	file := filepath.Join(hierarchy.Path, group, "cgroup.procs")
	return os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// Processes lists everything in the tree, pods included.
func (t Tree) Processes() ([]int, error) {
	hierarchy, err := t.tracking()
	if err != nil {
		return nil, err
	}
	groups, err := t.groups(hierarchy)
	if err != nil {
		return nil, err
	}
	return processesOf(groups)
}

func processesOf(groups []string) ([]int, error) {
	var pids []int
	for _, group := range groups {
		text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil && !gone(err) {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// groups of the tree in one hierarchy, parents first.
func (t Tree) groups(hierarchy Hierarchy) ([]string, error) {
	var groups []string
	top := filepath.Join(hierarchy.Path, t.Name)
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if gone(err) {
			return fs.SkipDir
		}
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	return groups, err
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}

// Kill ends every process of the tree. A frozen one is thawed, for it would not die.
func (t Tree) Kill() error {
	deadline := time.Now().Add(killLimit)
	for {
		pids, err := t.Processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not die", pids)
		}
		if err := t.thaw(); err != nil {
			return err
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (t Tree) thaw() error {
	for _, hierarchy := range t.hierarchies {
		file, word := "freezer.state", "THAWED"
		if hierarchy.Unified {
			file, word = "cgroup.freeze", "0"
		}
		groups, err := t.groups(hierarchy)
		if err != nil {
			return err
		}
		for _, group := range groups {
			// Only some hierarchies have such a file, and the top of a tree may not.
			if control, err := os.OpenFile(filepath.Join(group, file), os.O_WRONLY, 0); err == nil {
				_, _ = control.WriteString(word)
				_ = control.Close()
			}
		}
	}
	return nil
}

// Remove takes the empty groups away, children first. A group stays busy for moments after its last process.
func (t Tree) Remove() error {
	deadline := time.Now().Add(killLimit)
	for {
		var left error
		for _, hierarchy := range t.hierarchies {
			groups, err := t.groups(hierarchy)
			if err != nil {
				return err
			}
			slices.Reverse(groups)
			for _, group := range groups {
				if err := os.Remove(group); err != nil && !gone(err) {
					left = err
				}
			}
		}
		if left == nil || time.Now().After(deadline) {
			return left
		}
		time.Sleep(50 * time.Millisecond)
	}
}
