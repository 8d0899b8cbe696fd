//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/task"
)

// Some tasks are held by minions that die, again and again, and are never started there. Random
// faults hardly ever do that to one task: a minion starts what it takes, or gives it back soon. So
// these tasks have a queue of their own. The first minions there are processes that only take
// tasks. They are killed, and then an ordinary minion comes.

const (
	heldQueue = "held"
	heldTasks = 8
	lateHost  = "m9" // the host of that minion
)

// held sends the tasks to that queue, and waits for them.
func (s *submitter) held(ctx context.Context, rnd *rand.Rand) {
	keys := make([]string, heldTasks)
	calls := make([]task.Call[string], heldTasks)
	for i := range calls {
		keys[i] = s.otherKey("held")
		calls[i] = work.With(task.Queue(s.Held)).Bind(workArgs{Key: keys[i]})
	}
	s.sendAndWait(ctx, rnd, keys, calls)
}

// holderRole takes the tasks of its queue, starts none, and renews its lease until it is killed.
func holderRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	_, b, err := c.open(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := c.hold(ctx, b); err != nil { // the server may be down, or has forgotten this minion
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// hold takes tasks until a request fails.
func (c *config) hold(ctx context.Context, b broker.Broker) error {
	m, err := b.Consume(ctx, broker.ConsumerConfig{Queues: c.Queues, Slots: c.Slots})
	if err != nil {
		return err
	}
	for held := 0; ; {
		if err := m.Heartbeat(ctx, broker.Load{}); errors.Is(err, broker.ErrLeaseLost) {
			return err
		}
		ds, err := m.Dequeue(ctx, c.Queues, max(c.Slots-held, 1), 100*time.Millisecond)
		if errors.Is(err, broker.ErrLeaseLost) {
			return err
		}
		if held > 0 && len(ds) == 0 {
			fmt.Println("holds")
		}
		held += len(ds)
	}
}

// killHolders lets minions that only hold tasks die, and then starts one that runs these tasks, at
// the given time at the latest.
func (s *stage) killHolders(late *host, until time.Time) {
	for n := range deaths {
		c := s.template
		c.Name, c.URL, c.Queues, c.Slots = fmt.Sprintf("h%d.1", n), s.url, []string{s.template.Held}, heldTasks
		p := proc.Start(s, "holder", c)
		holds := p.Prints("holds\n", time.Until(until))
		hit := Event{Kind: Hit, Fault: KillProcess, Target: c.Name, At: time.Now().UnixNano()}
		p.Kill()
		s.over(hit)
		if !holds {
			s.Logf("minion %s was killed before it held a task", c.Name)
			break
		}
	}
	late.start()
}
