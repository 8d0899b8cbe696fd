package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task/request"
)

// slow takes a second to store a batch.
type slow struct {
	*memory.Broker
	stored []string
}

func (s *slow) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	time.Sleep(time.Second)
	for _, t := range tasks {
		s.stored = append(s.stored, t.Name)
	}
	return s.Broker.Enqueue(context.WithoutCancel(ctx), tasks)
}

// The records of a submission are not reused while a request that its caller no longer waits
// for may still read them.
func TestRecordsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Broker: memory.New()}
		defer func() { _ = b.Close() }()
		c := client.New(client.Config{Broker: b})
		defer func() { _ = c.Close() }()
		send := func(ctx context.Context, name string, after time.Duration, want error) {
			time.Sleep(after)
			if err := c.Submit(ctx, request.New(name, codec.Arguments{}, nil)); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		go send(t.Context(), "first", 0, nil)
		go send(short, "left", 500*time.Millisecond, broker.ErrIndeterminate) // taken at 1 s
		go send(t.Context(), "third", 1600*time.Millisecond, nil)
		go send(t.Context(), "fourth", 1700*time.Millisecond, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := []string{"first", "left", "third", "fourth"}
		if !slices.Equal(b.stored, want) {
			t.Errorf("%q were stored, want %q", b.stored, want)
		}
	})
}
