//go:build unix

package chaos

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

// The schedules of a submitter have these ends in their names.
const (
	steady = ".steady" // it is never paused, and its runs may overlap
	lined  = ".line"   // its runs wait for each other
	halted = ".halted" // it is paused now and then
)

// scheduler returns a scheduler of a process. A submitter has its own codec only. Minions have all of them, and so run the schedules of
// each submitter.
func scheduler(name string, b broker.Broker) *schedule.Scheduler {
	opts := []schedule.Option{schedule.Logger(slog.New(slog.DiscardHandler))}
	switch {
	case strings.HasPrefix(name, "s") && seals(name):
		opts = append(opts, schedule.Codec(signed))
	case !strings.HasPrefix(name, "s"):
		opts = append(opts, schedule.Codec(signed), schedule.Codecs(codec.Msgpack()))
	}
	s, err := schedule.New(b, opts...)
	if err != nil {
		panic(err)
	}
	return s
}

// ticks stores schedules that end at a time of the ledger, and pauses one of them now and then until then.
func (s *submitter) ticks(ctx context.Context, rnd *rand.Rand, sched *schedule.Scheduler, until int64) {
	const every = time.Second
	define := func(end string) schedule.Definition {
		name := "tick." + s.Name + end
		d := schedule.Definition{
			Name: name, When: schedule.Every(every), End: time.Unix(0, until), Missed: schedule.MissedAll,
			Call: work.With(s.queue(rnd), task.Retries(5)).Bind(workArgs{Key: name, For: upTo(rnd, 50*time.Millisecond), Deaf: true, Fail: rnd.IntN(2)}),
		}
		if end == lined {
			d.Overlap = schedule.OverlapQueueAll
		}
		return d
	}
	insist := func(f func() error) bool {
		for ctx.Err() == nil && s.ledger.Now() < until {
			if f() == nil {
				return true
			}
			time.Sleep(50 * time.Millisecond)
		}
		return false
	}
	defs := []schedule.Definition{define(steady), define(lined), define(halted)}
	noted := make(map[string]bool)
	for ctx.Err() == nil && s.ledger.Now() < until {
		for _, d := range defs { // again and again, since a failover may have lost them
			if insist(func() error { return sched.Put(ctx, d) }) && !noted[d.Name] {
				noted[d.Name] = true
				s.ledger.Note(Event{Kind: Ticks, Key: d.Name, Within: int64(every), Until: until})
			}
		}
		name := defs[2].Name
		time.Sleep(upTo(rnd, every))
		s.ledger.Note(Event{Kind: Stopping, Key: name}) // before the request: the process may be killed before its reply is noted
		if insist(func() error { return sched.Pause(ctx, name, "") }) {
			s.ledger.Note(Event{Kind: Stopped, Key: name})
			time.Sleep(upTo(rnd, 2*every))
			s.ledger.Note(Event{Kind: Continue, Key: name})
		}
		if insist(func() error { return sched.Resume(ctx, name) }) {
			s.ledger.Note(Event{Kind: Continued, Key: name})
		}
		time.Sleep(upTo(rnd, every))
	}
}
