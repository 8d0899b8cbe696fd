package task

import (
	"errors"
	"fmt"
	"strings"
)

// What isolated tasks add.
var (
	// ErrCrashed is wrapped by the error of an isolated task whose process ended
	// before its handler returned. It is retried like any other error.
	ErrCrashed = errors.New("the task's process crashed")
	// ErrMemoryLimit is wrapped by the error of an isolated task whose process was
	// ended because it had more memory than it may. It is retried too.
	ErrMemoryLimit = errors.New("over the memory limit")
)

func init() {
	registered.add("crashed", ErrCrashed)
	registered.add("memory limit", ErrMemoryLimit)
}

// CrashError says how the process of an isolated task ended before its handler
// returned: by os.Exit, a fatal error of the runtime, a panic in another
// goroutine, or a signal. It wraps [ErrCrashed]. Who waits for the task gets a
// [*RemoteError] of this type, with Output as its Stack.
type CrashError struct {
	PID      int
	ExitCode int    // -1 if a signal ended it
	Signal   string // such as "killed"; empty if none did
	Reason   error  // why the minion killed it; nil if it did not
	Output   string // what the runtime said, or the last lines that the process printed
}

// Error says how the process ended, and the first line of what it said.
func (e *CrashError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: process %d", ErrCrashed, e.PID)
	switch {
	case e.Reason != nil:
		fmt.Fprintf(&b, " was killed: %v", e.Reason)
		return b.String()
	case e.Signal != "":
		fmt.Fprintf(&b, " ended by signal %q", e.Signal)
	default:
		fmt.Fprintf(&b, " ended with exit code %d", e.ExitCode)
	}
	if line, _, _ := strings.Cut(e.Output, "\n"); line != "" {
		const most = 300
		fmt.Fprintf(&b, ": %s", cut(line, most))
	}
	return b.String()
}

// Is reports whether target is [ErrCrashed].
func (e *CrashError) Is(target error) bool { return target == ErrCrashed }

// Unwrap returns why the minion killed the process, nil if it did not.
func (e *CrashError) Unwrap() error { return e.Reason }
