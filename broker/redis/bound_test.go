package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// A process may die when it has set the bound of a part of the partitions. The queue is listed as one with a bound
// then, and the next call does the rest. Each partition needs a share of the bound.
func TestBoundOfAPart(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const space, parts = "boundparts", 4
		b, raw := open(t, url, redis.Namespace(space), redis.Partitions(parts)), rawClient(t, url)
		if err := b.SetBound(t.Context(), "q", parts-1); !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), "3, want 4 or more") {
			t.Errorf("a bound of less than the partitions: %v", err)
		}
		const most = 2*parts + 1
		if err := b.SetBound(t.Context(), "q", most); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < parts; i++ { // as if the process had died after the first partition
			base := fmt.Sprintf("{%s:q:%d}:", space, i)
			if err := errors.Join(raw.Del(t.Context(), base+"bound").Err(), raw.Set(t.Context(), base+"meta", "1", 0).Err()); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, err := b.Bound(t.Context(), "q"); err != nil || got != most {
			t.Errorf("the bound is %d, %v", got, err)
		}
		if queues, err := b.Queues(t.Context()); err != nil || len(queues) != 1 || queues[0].Bound != most {
			t.Errorf("queues %+v, %v", queues, err)
		}
		if err := b.SetBound(t.Context(), "q", most); err != nil {
			t.Fatal(err)
		}
		stored := 0
		for range 60 {
			task := newTask("q")
			task.Bounded = true
			switch err := b.Enqueue(t.Context(), []*broker.Task{task}); {
			case err == nil:
				stored++
			case !errors.Is(err, broker.ErrFull):
				t.Fatal(err)
			}
		}
		if got, waiting, err := b.Bound(t.Context(), "q"); err != nil || got != most || waiting != stored || stored > most || stored == 0 {
			t.Errorf("%d tasks were stored and %d wait, %v; at most %d may", stored, waiting, err, got)
		}
	})
}

// A bound that can't be read does not stop the queue.
func TestDamagedBound(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const space = "boundbad"
		b, raw := open(t, url, redis.Namespace(space)), rawClient(t, url)
		if err := b.SetBound(t.Context(), "q", 1); err != nil {
			t.Fatal(err)
		}
		base := fmt.Sprintf("{%s:q}:", space)
		if raw.Exists(t.Context(), base+"bound", base+"meta").Val() != 2 {
			t.Fatalf("the keys are not %sbound and %smeta", base, base)
		}
		for _, text := range []string{"", "b", "bx", "\x00", "9", "x 9"} {
			if err := errors.Join(raw.Set(t.Context(), base+"bound", text, 0).Err(), raw.Set(t.Context(), base+"meta", "b"+text, 0).Err()); err != nil {
				t.Fatal(err)
			}
			task := newTask("q")
			task.Bounded = true
			if err := b.Enqueue(t.Context(), []*broker.Task{task}); err != nil && !errors.Is(err, broker.ErrFull) {
				t.Errorf("bound %q: %v", text, err)
			}
			if _, _, err := b.Bound(t.Context(), "q"); err != nil {
				t.Errorf("bound %q: %v", text, err)
			}
			if _, err := b.Queues(t.Context()); err != nil {
				t.Errorf("bound %q: %v", text, err)
			}
		}
		if err := b.SetBound(t.Context(), "q", 2); err != nil {
			t.Fatal(err)
		}
		if most, _, err := b.Bound(t.Context(), "q"); err != nil || most != 2 {
			t.Errorf("the bound is %d, %v", most, err)
		}
	})
}
