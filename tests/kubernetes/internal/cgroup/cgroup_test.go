package cgroup

import (
	"reflect"
	"testing"
)

func TestMountsAreRead(t *testing.T) {
	mounts := `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`
	expected := []Hierarchy{
		{Path: "/sys/fs/cgroup/cpu,cpuacct", Controllers: []string{"rw", "relatime", "cpu", "cpuacct"}},
		{Path: "/sys/fs/cgroup/systemd", Controllers: []string{"rw", "systemd"}},
		{Path: "/sys/fs/cgroup/unified", Unified: true},
	}
	if found := Parse(mounts); !reflect.DeepEqual(found, expected) {
		t.Errorf("%+v", found)
	}
}

func TestProcessesAreTrackedWhereTheyCanBeFrozen(t *testing.T) {
	both := Tree{hierarchies: []Hierarchy{{Path: "cpu", Controllers: []string{"cpu"}},
		{Path: "freezer", Controllers: []string{"freezer"}}, {Path: "unified", Unified: true}}}
	if found, err := both.tracking(); err != nil || found.Path != "freezer" {
		t.Errorf("%v, %v", found, err)
	}
	second := Tree{hierarchies: []Hierarchy{{Path: "unified", Unified: true}}}
	if found, err := second.tracking(); err != nil || found.Path != "unified" {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := (Tree{}).tracking(); err == nil {
		t.Error("a machine without control groups was accepted")
	}
}
