package task_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// stumbler is a submitter that panics once.
type stumbler struct {
	task.Submitter
	waits chan struct{} // one that waits has come, then may go on
	fell  bool
}

func (s *stumbler) Await(_ context.Context, _ task.ID, into any) error {
	if !s.fell {
		s.fell = true
		s.waits <- struct{}{}
		<-s.waits
		panic("stumbled")
	}
	*into.(*int) = 1
	return nil
}

// Who panics while it waits for a future does not keep others waiting for it.
func TestFuturePanic(t *testing.T) {
	s := &stumbler{waits: make(chan struct{})}
	fut := task.NewFuture[int](s, task.ID{})
	fell := make(chan any)
	go func() {
		defer func() { fell <- recover() }()
		_, _ = fut.Result(context.Background())
	}()
	<-s.waits
	s.waits <- struct{}{}
	if p := <-fell; p != "stumbled" {
		t.Fatalf("it panicked with %v", p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if n, err := fut.Result(ctx); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
