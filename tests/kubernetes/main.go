// Command testbed is a whole Kubernetes in one program, for tests: every component, and what starts them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"hg-operator.dev/tests/kubernetes/internal/command"
	"hg-operator.dev/tests/kubernetes/internal/process"
)

func main() {
	arguments := os.Args
	// A link called `kubectl` is kubectl.
	if filepath.Base(arguments[0]) == "testbed" {
		arguments = arguments[1:]
	}
	if len(arguments) > 0 {
		if component, found := components[filepath.Base(arguments[0])]; found {
			// Each reads its flags from here.
			os.Args = arguments
			os.Exit(component())
		}
	}
	if err := process.KeepFiles(); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command.Run(ctx, arguments); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}
