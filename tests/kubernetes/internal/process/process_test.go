package process

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

func TestADaemonInheritsNoFiles(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	// As a program that was started with it: without the mark that Go sets.
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	if err := KeepFiles(); err != nil {
		t.Fatal(err)
	}
	running, err := Daemon{Name: "long", Directory: t.TempDir(), Command: []string{"sleep", "60"}}.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer running.Kill()
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := reader.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the daemon still has the pipe: %v", err)
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
