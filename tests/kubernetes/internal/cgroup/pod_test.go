package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAPodHasItsContainersAndNobodyElses(t *testing.T) {
	groups := []string{"/f/a", "/f/a/n1", "/f/a/n1/kubepods", "/f/a/n1/kubepods/podx", "/f/a/n1/kubepods/podx/c1",
		"/f/a/n1/kubepods/podxy", "/f/a/n1/kubepods/podxy/c2"}
	pod, err := podOf(Hierarchy{}, groups, "x")
	expected := []string{"/f/a/n1/kubepods/podx", "/f/a/n1/kubepods/podx/c1"}
	if err != nil || !slices.Equal(pod.groups, expected) {
		t.Errorf("%q, %v", pod.groups, err)
	}
	for _, unknown := range []string{"", "z"} {
		if pod, err := podOf(Hierarchy{}, groups, unknown); err == nil {
			t.Errorf("%q: %q", unknown, pod.groups)
		}
	}
}

func TestFreezingWritesWhatTheVersionWants(t *testing.T) {
	group := t.TempDir()
	first := Pod{hierarchy: Hierarchy{Controllers: []string{"freezer"}}, groups: []string{group}}
	if err := first.Freeze(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(group, "freezer.state")); err != nil || string(text) != "FROZEN" {
		t.Errorf("%q, %v", text, err)
	}
	events := filepath.Join(group, "cgroup.events")
	if err := os.WriteFile(events, []byte("populated 1\nfrozen 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := Pod{hierarchy: Hierarchy{Unified: true}, groups: []string{group}}
	if err := second.Thaw(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(group, "cgroup.freeze")); err != nil || string(text) != "0" {
		t.Errorf("%q, %v", text, err)
	}
}
