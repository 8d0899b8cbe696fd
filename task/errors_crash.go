package task

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-arbiter/arbiter/internal/base/cut"
)

// The errors of isolated tasks, which run in a process of their own.
var (
	// ErrCrashed is wrapped by the error of an isolated task whose process ended before its
	// handler returned. The task is retried as after any other error.
	ErrCrashed = errors.New("the task's process crashed")
	// ErrMemoryLimit is wrapped by the error of an isolated task whose process was killed
	// because it used more memory than its limit. The task is retried, too.
	ErrMemoryLimit = errors.New("over the memory limit")
)

func init() {
	registered.add("crashed", ErrCrashed)
	registered.add("memory limit", ErrMemoryLimit)
}

// CrashError tells how the process of an isolated task ended before its handler returned: by
// os.Exit, a fatal error of the runtime, a panic in another goroutine, or a signal. It wraps
// [ErrCrashed]. A caller that waits for the task gets a [*RemoteError] whose Type is the type
// of this error and whose Stack is its Output.
//
// The system reports the end of a process only to the first caller that waits for it. If that
// was not the minion, because its program ignores SIGCHLD or waits for processes that
// it did not start, the end is unknown: ExitCode is -1 and Signal is empty.
type CrashError struct {
	PID      int    // of the process
	ExitCode int    // -1 if a signal ended the process, or if its end is unknown
	Signal   string // such as "killed"; empty if no signal ended it, or if its end is unknown
	Reason   error  // why the minion killed the process, or was about to; nil if it did not
	Output   string // the runtime's report, or else the last lines that the process printed
}

// unknown reports whether it is unknown how the process ended.
func (e *CrashError) unknown() bool { return e.ExitCode == -1 && e.Signal == "" }

// Error tells how the process ended, and the first line of its output.
func (e *CrashError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: process %d", ErrCrashed, e.PID)
	switch {
	case e.unknown():
		b.WriteString(" ended, it is unknown how")
		if e.Reason != nil { // the process may have ended before the minion killed it
			fmt.Fprintf(&b, "; it was to be killed: %v", e.Reason)
			return b.String()
		}
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
		fmt.Fprintf(&b, ": %s", cut.To(line, most))
	}
	return b.String()
}

// Is reports whether target is [ErrCrashed].
func (e *CrashError) Is(target error) bool { return target == ErrCrashed }

// Unwrap returns Reason.
func (e *CrashError) Unwrap() error { return e.Reason }
