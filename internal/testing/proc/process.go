//go:build unix

package proc

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Process is a process that plays a role.
type Process struct {
	PID    int
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
	told   atomic.Bool // to end

	mu     sync.Mutex
	output strings.Builder
	grown  chan struct{} // closed and replaced whenever output grows
}

// Start starts a process with a role, and with a config that is encoded as JSON. The process is
// killed at the end of the test. If the test has failed, its output is logged.
func Start(t testing.TB, role string, config any) *Process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return StartFrom(t, exe, nil, role, config)
}

// StartFrom is [Start] with another binary of the test, and more environment variables.
func StartFrom(t testing.TB, exe string, env []string, role string, config any) *Process {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: exec.Command(exe), exited: make(chan struct{}), grown: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), env...), envRole+"="+role, envConfig+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start a process with the role %s: %v", role, err)
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("process %d with the role %s printed:\n%s", p.PID, role, p.Output())
		}
	})
	return p
}

// Write implements [io.Writer] for the output of the process.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	close(p.grown)
	p.grown = make(chan struct{})
	return len(b), nil
}

// Output returns the output of the process so far, stdout and stderr together.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// patience is the longest time that a test waits for an event. It is long enough for a slow and busy
// machine. A test that passes never waits for its end.
const patience = 5 * time.Minute

// WaitFor waits until the process has printed a text. It fails the test if the process does not
// print it in time.
func (p *Process) WaitFor(t testing.TB, text string) {
	t.Helper()
	if p.Prints(text, patience) {
		return
	}
	select {
	case <-p.exited:
		t.Fatalf("process %d ended without printing %q", p.PID, text)
	default:
		t.Fatalf("process %d has not printed %q in time", p.PID, text)
	}
}

// Prints waits until the process has printed a text, and reports whether it has. It returns false
// after the given time, or if the process has ended.
func (p *Process) Prints(text string, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for over := false; ; {
		p.mu.Lock()
		found, grown := strings.Contains(p.output.String(), text), p.grown
		p.mu.Unlock()
		if found || over {
			return found
		}
		select {
		case <-grown:
		case <-p.exited: // it may have printed the text last
			over = true
		case <-timer.C:
			return false
		}
	}
}

// Wait waits for the end of the process, and returns its exit status. The status is -1 if a signal
// ended it.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("process %d did not end in time", p.PID)
		return 0
	}
}

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Told reports whether Kill or Terminate has been called. A process that has ended before that has
// ended by itself.
func (p *Process) Told() bool { return p.told.Load() }

// Kill ends the process with SIGKILL, and waits for its end. It may be called twice.
func (p *Process) Kill() {
	p.told.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.exited
	_ = p.stdin.Close()
}

// CPU returns the processor time that the process has used. It waits for the end of the process.
func (p *Process) CPU() time.Duration {
	<-p.exited
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Terminate asks the process to end, with SIGTERM, and returns its exit status.
func (p *Process) Terminate(t testing.TB) int {
	t.Helper()
	p.told.Store(true)
	p.signal(t, syscall.SIGTERM)
	return p.Wait(t)
}

// Stop stops the process with SIGSTOP, as if its machine were paused.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
}

// Continue lets a stopped process go on, with SIGCONT.
func (p *Process) Continue(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

func (p *Process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) { // the process may have ended by itself
		t.Fatalf("signal %v to process %d: %v", s, p.PID, err)
	}
}
