//go:build unix

package isolate

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"
)

// flood is a pool whose only process gets more answers than its pipe can hold.
type flood struct {
	*testing.T
	p     *Pool
	pid   chan int
	told  chan struct{} // receives when the process is about to be told of the end of a context
	asked chan struct{} // receives each question
	tell  chan struct{} // closed to send the answers
}

func newFlood(t *testing.T, grace time.Duration) *flood {
	f := &flood{
		T: t, pid: make(chan int, 1),
		told: make(chan struct{}, 2), asked: make(chan struct{}), tell: make(chan struct{}),
	}
	f.p = newTestPool(t, Config{
		Slots: 1, Grace: grace,
		Cause: func(ctx context.Context) []byte {
			f.told <- struct{}{}
			return []byte(context.Cause(ctx).Error())
		},
		Output: func(l Line) { f.pid <- l.PID },
	})
	return f
}

// begin runs the job and returns when the job has asked all its questions.
func (f *flood) begin(ctx context.Context) (pid int, done <-chan error) {
	answer := make([]byte, 64<<10) // the capacity of a pipe
	job := Job{Body: says("flood 100"), Call: func(context.Context, []byte) []byte {
		f.asked <- struct{}{}
		<-f.tell
		return answer
	}}
	over := make(chan error, 1)
	go func() {
		out, err := f.p.Run(ctx, job)
		if err == nil && string(out) != "enough" {
			err = errors.New(string(out))
		}
		over <- err
	}()
	pid = <-f.pid
	for range 100 {
		<-f.asked
	}
	return pid, over
}

// clog suspends the process and sends it the answers.
func (f *flood) clog(pid int) {
	f.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		f.Fatal(err)
	}
	close(f.tell)
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	for c := range f.p.all {
		for len(c.frames) < cap(c.frames) {
			time.Sleep(time.Millisecond)
		}
	}
}

// A process that does not read for a while is still told of the end of a context, even if many answers are queued before it.
func TestCancelBehindAnswers(t *testing.T) {
	t.Parallel()
	f := newFlood(t, 20*time.Second)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	pid, done := f.begin(ctx)
	f.clog(pid)
	cancel(errors.New("enough"))
	<-f.told
	time.Sleep(50 * time.Millisecond)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A job ends in time even if it can't be sent to its process, which does not read.
func TestKillBehindAnswers(t *testing.T) {
	t.Parallel()
	f := newFlood(t, 2*time.Second)
	first, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	pid, done := f.begin(first)
	cancel(errors.New("enough"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.clog(pid)
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	over := make(chan error, 1)
	go func() {
		_, err := f.p.do(ctx, "echo")
		over <- err
	}()
	select {
	case err := <-over:
		if crash := crashOf(t, err); crash.PID != pid || !errors.Is(crash, context.DeadlineExceeded) {
			t.Errorf("%+v", crash)
		}
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("the job has not ended")
	}
}
