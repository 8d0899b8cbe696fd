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

// Role is what a process does. Ctx ends at SIGTERM or SIGINT, and when the
// process that started it is gone. An error is printed, and the status is 1.
type Role func(ctx context.Context, config json.RawMessage) error

// Main plays the role that the process was started for, and ends the process. It
// returns if it has none.
func Main(roles map[string]Role) {
	name := os.Getenv(envRole)
	if name == "" {
		return
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		// Its other end is held open by whoever started us.
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := role(ctx, json.RawMessage(os.Getenv(envConfig))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
