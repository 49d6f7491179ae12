package process

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestADaemonThatEndsIsToldWithItsLog(t *testing.T) {
	command := []string{"sh", "-c", "echo why; exit 3"}
	running, err := Daemon{Name: "short", Directory: t.TempDir(), Command: command}.Start()
	if err != nil {
		t.Fatal(err)
	}
	never := func(context.Context) error { return errors.New("not yet") }
	err = Until(context.Background(), "short", time.Minute, never, running)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
}

func TestADeadlineTellsTheLastComplaint(t *testing.T) {
	never := func(context.Context) error { return errors.New("not yet") }
	err := Until(context.Background(), "something", time.Millisecond, never)
	if err == nil || !strings.Contains(err.Error(), "something: not within 1ms: not yet") {
		t.Errorf("%v", err)
	}
}

func TestACommandInANamespaceKeepsTheMountsOfTheMachine(t *testing.T) {
	line := strings.Join(Inside("a", []string{"b", "c"}), " ")
	if line != "nsenter --net=/run/netns/a b c" {
		t.Error(line)
	}
}
