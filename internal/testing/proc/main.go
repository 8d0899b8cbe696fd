//go:build unix

package proc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const (
	envRole   = "ARBITER_TEST_ROLE"
	envConfig = "ARBITER_TEST_ROLE_CONFIG"
)

// Role is the main function of a process. ctx ends at SIGTERM or SIGINT, and when the process that
// started it has ended. If it returns an error, the process prints the error and exits with status
// 1.
type Role func(ctx context.Context, config json.RawMessage) error

// Main plays the role for which the process was started, and exits. It returns if the process was
// started without a role.
func Main(roles map[string]Role) {
	name := os.Getenv(envRole)
	if name == "" {
		return
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "proc: there is no role %q\n", name)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		// The process that started this one holds the other end open as long as it lives.
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := role(ctx, json.RawMessage(os.Getenv(envConfig))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
