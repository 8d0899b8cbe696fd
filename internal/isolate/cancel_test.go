//go:build unix

package isolate

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"
)

// A process that reads nothing for a while is told of the end of a context all the
// same, however much there is to be told before.
func TestCancelBehindReplies(t *testing.T) {
	t.Parallel()
	pid, told, tell := make(chan int, 1), make(chan struct{}), make(chan struct{})
	p := newTestPool(t, Config{
		Slots: 1, Grace: 20 * time.Second,
		Cause: func(ctx context.Context) []byte {
			close(told)
			return []byte(context.Cause(ctx).Error())
		},
		Output: func(l Line) { pid <- l.PID },
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	const n = 100
	answer := make([]byte, 64<<10) // as much as a pipe takes
	asked := make(chan struct{}, n)
	job := Job{Body: says("flood 100"), Call: func(context.Context, []byte) []byte {
		asked <- struct{}{}
		<-tell
		return answer
	}}
	done := make(chan error, 1)
	go func() {
		out, err := p.Run(ctx, job)
		if err == nil && string(out) != "enough" {
			err = errors.New(string(out))
		}
		done <- err
	}()
	child := <-pid
	for range n {
		<-asked
	}
	if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	close(tell)
	c := p.only()
	for len(c.frames) < cap(c.frames) {
		time.Sleep(time.Millisecond)
	}
	cancel(errors.New("enough"))
	<-told
	time.Sleep(50 * time.Millisecond)
	if err := syscall.Kill(child, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// only returns the only process.
func (p *Pool) only() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.all {
		return c
	}
	return nil
}
