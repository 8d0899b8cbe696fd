//go:build unix

package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Deadlines too are measured by the server's clock, by whichever way a task reaches a minion.
func TestDeadlinesClocksApart(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]time.Duration{"server ahead": 5 * time.Hour, "server behind": -5 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := shifted(t, offset)
			r := newRig(t, url)
			r.minion()
			r.minion(func(c *config) { c.Queues = []string{"a", "b"} })
			for _, queue := range []string{task.DefaultQueue, "a"} {
				testDeadlines(r, task.Queue(queue))
			}
		})
	}
}

func testDeadlines(r *rig, q task.Option) {
	// One task at a time, each taken by a minion that waits.
	for range 5 {
		time.Sleep(20 * time.Millisecond)
		r.results(r.send(1, args{}, q, task.Within(10*time.Minute)))
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	_, err := r.send(1, args{Hang: true}, q, task.Within(300*time.Millisecond))[0].Result(ctx)
	if !errors.Is(err, broker.ErrExpired) {
		r.Errorf("a task past its deadline returned %v, want ErrExpired", err)
	}
}
