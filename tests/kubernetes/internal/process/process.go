// Package process starts programs and waits for them, always with a deadline.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How much of a log is shown when its program ended or was not ready in time.
const tailBytes = 3000

const pollInterval = 100 * time.Millisecond

// Daemon is a program that goes on after this one has ended.
type Daemon struct {
	Name string
	// Directory holds logs/NAME.log and pids/NAME.
	Directory string
	// Namespace is the name of a network namespace, or empty for this program's own.
	Namespace string
	// DiesWithParent kills it when the thread that started it ends; the caller has to stay on one thread.
	DiesWithParent bool
	Command        []string
}

// Running is a daemon that was started and may have ended since.
type Running struct {
	Name string
	Log  string
	PID  int
	done chan error
}

// KeepFiles makes what this program was given open, beside its three standard files, stay its own: a daemon that
// inherits the file of a lock, or a pipe that somebody reads to its end, would hold it for as long as the cluster is
// up.
func KeepFiles() error {
	return unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// Start returns at once; what the daemon says goes to its log.
func (d Daemon) Start() (*Running, error) {
	log := filepath.Join(d.Directory, "logs", d.Name+".log")
	pid := filepath.Join(d.Directory, "pids", d.Name)
	for _, file := range []string{log, pid} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	line := Inside(d.Namespace, d.Command)
	command := exec.Command(line[0], line[1:]...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.DiesWithParent {
		command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Name, err)
	}
	running := &Running{Name: d.Name, Log: log, PID: command.Process.Pid, done: make(chan error, 1)}
	go func() { running.done <- command.Wait() }()
	return running, os.WriteFile(pid, fmt.Appendf(nil, "%d\n", running.PID), 0o644)
}

// Inside is the command line that runs another one in a network namespace. `ip netns exec` would remount /sys, where
// the kubelet then finds no cgroups.
func Inside(namespace string, command []string) []string {
	if namespace == "" {
		return command
	}
	return append([]string{"nsenter", "--net=/run/netns/" + namespace}, command...)
}

// Ended tells why the daemon is not there any more, or nothing while it is.
func (r *Running) Ended() error {
	select {
	case err := <-r.done:
		r.done <- err
		if err == nil {
			err = errors.New("exit status 0")
		}
		return fmt.Errorf("%s ended: %w\n%s", r.Name, err, Tail(r.Log))
	default:
		return nil
	}
}

// Kill ends it at once and waits until it is gone.
func (r *Running) Kill() {
	_ = syscall.Kill(r.PID, syscall.SIGKILL)
	err := <-r.done
	r.done <- err
}

// Tail is the end of a log, for a message.
func Tail(log string) string {
	file, err := os.Open(log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-tailBytes), io.SeekStart)
	}
	text, _ := io.ReadAll(file)
	return fmt.Sprintf("--- the end of %s:\n%s", log, bytes.TrimSpace(text))
}

// Until asks again and again until `check` has no complaint, and gives up when one of the daemons ends.
func Until(ctx context.Context, what string, limit time.Duration, check func(context.Context) error,
	needed ...*Running) error {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		complaint := check(ctx)
		if complaint == nil {
			return nil
		}
		for _, running := range needed {
			if err := running.Ended(); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
		select {
		case <-ctx.Done():
			if asked.Err() != nil {
				return fmt.Errorf("%s: %w", what, asked.Err())
			}
			err := fmt.Errorf("%s: not within %s: %w", what, limit, complaint)
			for _, running := range needed {
				err = fmt.Errorf("%w\n%s", err, Tail(running.Log))
			}
			return err
		case <-time.After(pollInterval):
		}
	}
}

// Output runs a command to its end and returns what it printed. The error holds what it complained about.
func Output(ctx context.Context, command ...string) (string, error) {
	return Feed(ctx, "", command...)
}

// Feed is Output with something to read.
func Feed(ctx context.Context, input string, command ...string) (string, error) {
	started := exec.CommandContext(ctx, command[0], command[1:]...)
	var output, complaint bytes.Buffer
	started.Stdin, started.Stdout, started.Stderr = strings.NewReader(input), &output, &complaint
	if err := started.Run(); err != nil {
		said := strings.TrimSpace(complaint.String() + output.String())
		return output.String(), fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
	}
	return output.String(), nil
}

// StopEarlier ends the daemon of that name which an earlier call left behind, if the process is still the same one:
// its command line has to hold `sign`.
func StopEarlier(directory, name, sign string) error {
	file := filepath.Join(directory, "pids", name)
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && bytes.Contains(line, []byte(sign)) {
		// It is the first of a session of its own.
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return os.Remove(file)
}
