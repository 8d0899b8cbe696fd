package task

import (
	"errors"
	"fmt"
	"strings"
)

// The errors of isolated tasks.
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
// goroutine, or a signal. It wraps [ErrCrashed]. A caller that waits for the
// task gets a [*RemoteError] whose Type is that of this error, with Output as its Stack.
//
// The system reports the end of a process only to the first who waits for it. If that
// was not the minion, because its program ignores SIGCHLD or waits for processes that
// are not its own, the end is unknown: ExitCode is -1 and Signal is empty.
type CrashError struct {
	PID      int
	ExitCode int    // -1 if a signal ended it, or its end is unknown
	Signal   string // such as "killed"; empty if none did, or its end is unknown
	Reason   error  // why the minion killed it, or was about to if its end is unknown; nil if neither
	Output   string // what the runtime said, or the last lines that the process printed
}

// unknown reports whether nobody knows how the process ended.
func (e *CrashError) unknown() bool { return e.ExitCode == -1 && e.Signal == "" }

// Error says how the process ended, and the first line of what it said.
func (e *CrashError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: process %d", ErrCrashed, e.PID)
	switch {
	case e.unknown():
		b.WriteString(" ended, how is not known")
		if e.Reason != nil { // it may have ended before that
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
		fmt.Fprintf(&b, ": %s", cut(line, most))
	}
	return b.String()
}

// Is reports whether target is [ErrCrashed].
func (e *CrashError) Is(target error) bool { return target == ErrCrashed }

// Unwrap returns Reason.
func (e *CrashError) Unwrap() error { return e.Reason }
