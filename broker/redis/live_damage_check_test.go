package redis_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/testing/damage"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/task"
)

// hits reports whether a strike may have damaged a unit, so that the unit need not finish.
func (s *struck) hits(hit damage.Strike, u *unit) bool {
	base := "{" + s.space + ":" + u.queue + "}:"
	name, ours := strings.CutPrefix(hit.Key, base)
	switch {
	case hit.Whole && ours, hit.Key == s.space+":queues" && hit.Field == u.queue:
		return true // the strike concerns the whole queue
	case ours && name == "needs" && u.needs != "":
		return true // a task whose need is damaged waits until its parked time is over
	case hit.Names(u.key):
		return true
	}
	for _, id := range u.ids {
		block := string(id[:broker.BlockPrefix])
		if hit.Names(string(id[:])) || strings.Contains(hit.Key, fmt.Sprintf("%x", id[:])) ||
			ours && name == "state" && len(hit.Field) != 16 && strings.HasPrefix(hit.Field, block) ||
			ours && strings.HasPrefix(name, "keep:") && hit.Names(block) {
			return true
		}
	}
	return false
}

// isHit reports whether any strike so far has hit a unit.
func (s *struck) isHit(u *unit) bool {
	return slices.ContainsFunc(s.strikes, func(hit damage.Strike) bool { return s.hits(hit, u) })
}

// finish waits for the units that were not hit, and checks their results.
func (s *struck) finish() {
	s.Helper()
	end := time.After(damagePatience)
	for _, u := range s.units {
		if s.isHit(u) {
			continue
		}
		select {
		case <-u.done:
		case <-end:
			st, err := s.b.Lookup(context.Background(), u.ids)
			s.Fatalf("seed %d: %s of queue %s was not damaged, and does not finish: %+v, %v", s.seed, u.key, u.queue, st, err)
		}
		if (u.err != nil) != u.fails || u.err == nil && u.got != u.want {
			s.Errorf("seed %d: %s of queue %s was not damaged, and ended with %q, %v", s.seed, u.key, u.queue, u.got, u.err)
		}
	}
}

// inspect calls each method that operators call, and sends one more task to each queue.
// Only a strike on a whole key excuses an error.
func (s *struck) inspect() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, damagePatience)
	defer cancel()
	whole := func(queue string) bool {
		return slices.ContainsFunc(s.strikes, func(h damage.Strike) bool {
			return h.Whole && strings.HasPrefix(h.Key, "{"+s.space+":"+queue+"}:") || h.Key == s.space+":queues" && h.Field == queue
		})
	}
	spoiled := whole("a") || whole("b") || whole("c")
	var ids []broker.ID
	for _, u := range s.units {
		if !whole(u.queue) {
			ids = append(ids, u.ids...)
		}
	}
	if _, err := s.b.Lookup(ctx, ids); err != nil {
		s.Errorf("seed %d: look-up: %v", s.seed, err)
	}
	if _, err := s.b.Minions(ctx); err != nil && !slices.ContainsFunc(s.strikes, func(h damage.Strike) bool { return h.Whole && strings.HasPrefix(h.Key, "{"+s.space+"}:") }) {
		s.Errorf("seed %d: minions: %v", s.seed, err)
	}
	if _, err := s.b.Queues(ctx); err != nil && !spoiled {
		s.Errorf("seed %d: queues: %v", s.seed, err)
	} else if !spoiled {
		s.told(ctx)
	}
	for _, queue := range []string{"a", "b", "c"} {
		if whole(queue) {
			continue
		}
		letters, _, err := s.b.DeadLetters(ctx, queue, "", 100)
		if err != nil {
			s.Errorf("seed %d: dead letters: %v", s.seed, err)
		}
		var dead []broker.ID
		for _, l := range letters {
			dead = append(dead, l.Task.ID)
		}
		if _, err := s.b.Requeue(ctx, dead); err != nil {
			s.Errorf("seed %d: requeue: %v", s.seed, err)
		}
		if _, err := s.b.Parked(ctx, queue); err != nil {
			s.Errorf("seed %d: parked: %v", s.seed, err)
		}
		if got, err := laborTask.Bind(labor{Key: "more"}).With(task.Queue(queue)).Send(ctx, s.arb); err != nil {
			s.Errorf("seed %d: send more: %v", s.seed, err)
		} else if v, err := got.Result(ctx); v != "more" || err != nil {
			s.Errorf("seed %d: more of %s: %q, %v", s.seed, queue, v, err)
		}
	}
	if _, err := s.b.Cancel(ctx, ids); err != nil {
		s.Errorf("seed %d: cancel: %v", s.seed, err)
	}
}

// told checks that Queues counts the damaged messages as unreadable. It waits, since a message
// that a blocking move has brought is put aside only by the next script of its minion.
func (s *struck) told(ctx context.Context) {
	s.Helper()
	want := 0
	for i, hit := range s.strikes {
		_, name, _ := strings.Cut(hit.Key, "}:")
		waits := name == "ready" || name == "held" || name == "odd"
		over := slices.ContainsFunc(s.strikes[i+1:], func(next damage.Strike) bool { return next.Key == hit.Key && next.Old == hit.New })
		known := hit.New == "!"            // a token is no message
		if len(hit.New) >= wire.HeadSize { // a message of a newer version is parked
			version := hit.New[0] &^ 0x80
			known = version >= wire.PlainVersion && version <= wire.MaxMessageVersion
		}
		if waits && hit.Kind == "list" && !known && !over && hit.How != "an element was removed" {
			want++
		}
	}
	for {
		unreadable := 0
		info, err := s.b.Queues(ctx)
		for _, q := range info {
			unreadable += q.Unreadable
		}
		if unreadable >= want {
			return
		}
		if err != nil {
			s.Fatalf("seed %d: %d records are unreadable, but only %d are counted: %v", s.seed, want, unreadable, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// mostCommands is how many commands per second an idle system may send. Its brokers look at
// the queues ten times a second, and its minions have short leases. A loop that spins would
// send ten times as many.
const mostCommands = 2500

// quiet checks that the system neither sends many commands nor logs the same line again and
// again, now that all work is done. asked returns how many commands the server has had.
func (s *struck) quiet(asked func() int) {
	s.Helper()
	// The long form waits for some heartbeats.
	watched := testform.Pick(500*time.Millisecond, 3*time.Second)
	count := func() map[string]int {
		out := map[string]int{}
		for line := range strings.Lines(s.log.String()) {
			_, text, _ := strings.Cut(line, " msg=")
			text, _, _ = strings.Cut(text, " error=")
			text, _, _ = strings.Cut(text, " minion=")
			// A machine that is busy with other things makes minions lose their leases.
			busy := strings.Contains(text, "lease lost") || strings.Contains(text, "a minion died") || strings.Contains(text, "sign off") || strings.Contains(text, "out of reach")
			if !strings.Contains(line, "level=INFO") && !busy {
				out[text]++
			}
		}
		return out
	}
	time.Sleep(100 * time.Millisecond)
	before, since, commands := count(), time.Now(), 0
	if asked != nil {
		commands = asked()
	}
	time.Sleep(watched)
	if asked != nil {
		if rate := float64(asked()-commands) / time.Since(since).Seconds(); rate > mostCommands {
			s.Errorf("seed %d: %.0f commands per second in an idle system", s.seed, rate)
		} else {
			s.Logf("%.0f commands per second", rate)
		}
	}
	for text, n := range count() {
		if n -= before[text]; n > 4 {
			s.Errorf("seed %d: this line is logged again and again: %s", s.seed, text)
		}
	}
}
