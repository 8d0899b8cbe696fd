package minion_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// captain plays the arbiter that sends a squad, and talks to one minion.
type captain struct {
	*rig
	minion broker.ID
	inbox  broker.Inbox
	id     broker.ID
	squad  broker.ID
}

// captain returns a captain for the only minion, which must be registered by now.
func (r *rig) captain() *captain {
	r.Helper()
	minions, err := r.b.Minions(r.Context())
	if err != nil || len(minions) != 1 {
		r.Fatalf("%v, %v", minions, err)
	}
	c := &captain{
		rig: r, minion: minions[0].ID,
		id: broker.NewID(broker.KindParty, "", 0), squad: broker.NewID(broker.KindGroup, "", 0),
	}
	if c.inbox, err = r.b.Inbox(r.Context(), c.id); err != nil {
		r.Fatal(err)
	}
	return c
}

// say posts a message to the minion.
func (c *captain) say(kind squad.Kind, n int, d time.Duration) {
	c.Helper()
	m := squad.Message{Kind: kind, Squad: c.squad, From: c.id, Round: 1, N: n, For: d}
	if err := c.b.Post(c.Context(), c.minion, m.Append(nil)); err != nil {
		c.Fatal(err)
	}
}

// hears returns the next message of the minion and checks its kind.
func (c *captain) hears(kind squad.Kind) squad.Message {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), time.Hour)
	defer cancel()
	mail, err := c.inbox.Receive(ctx)
	if err != nil || len(mail.Squads.Posts) != 1 {
		c.Fatalf("%v, %v", mail, err)
	}
	m, err := squad.Parse(mail.Squads.Posts[0])
	if err != nil || m.Kind != kind || m.Squad != c.squad || m.From != c.minion || m.Round != 1 {
		c.Fatalf("%+v, %v, want kind %d", m, err, kind)
	}
	return m
}

// numbers checks the minion's answer about its slots.
func (c *captain) numbers(m squad.Message, slots, free, held int) {
	c.Helper()
	if m.Slots != slots || m.Free != free || m.Reserved != held {
		c.Errorf("%d slots, %d free, %d reserved, want %d, %d, %d", m.Slots, m.Free, m.Reserved, slots, free, held)
	}
}

// store stores a squad with n members and assigns them to the minion.
func (c *captain) store(n int, edits ...func(*broker.Task)) []broker.ID {
	c.Helper()
	f := &broker.Flow{ID: c.squad, Size: n, Quorum: n, Retention: time.Hour}
	tasks := make([]*broker.Task, n)
	ids := make([]broker.ID, n)
	for i := range tasks {
		ids[i] = broker.NewID(broker.KindTask, task.DefaultQueue, 0)
		tasks[i] = &broker.Task{
			ID: ids[i], Name: "work", Queue: task.DefaultQueue, Codec: "msgpack", Payload: []byte{0x81, 0xa1, 'n', 1},
			Flow: broker.TaskFlow{ID: f.ID, Step: uint32(i), Blocked: true, Squad: true}, Delay: time.Minute, Retention: 24 * time.Hour,
		}
		for _, edit := range edits {
			edit(tasks[i])
		}
	}
	if err := c.b.OpenFlow(c.Context(), f, 0, ids); err != nil {
		c.Fatal(err)
	}
	if err := c.b.Enqueue(c.Context(), tasks); err != nil {
		c.Fatal(err)
	}
	if err := c.b.Assign(c.Context(), c.minion, ids); err != nil {
		c.Fatal(err)
	}
	return ids
}

// hour is a handler that takes an hour.
func hour(running *atomic.Int32) func(context.Context, args) (int, error) {
	return func(ctx context.Context, a args) (int, error) {
		running.Add(1)
		defer running.Add(-1)
		select {
		case <-time.After(time.Hour):
			return a.N, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// settled waits until nothing happens any more that needs no time, or little.
func settled() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

func (c *captain) running(running *atomic.Int32, want int32) {
	c.Helper()
	settled()
	if n := running.Load(); n != want {
		c.Errorf("%d handlers run, want %d", n, want)
	}
}

// Slots stay reserved for the time that was asked for, and ordinary tasks do not get them.
func TestSlotsAreReserved(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(5, hour(&running))
		settled()
		c := r.captain()
		r.send(1)
		c.running(&running, 1)
		c.say(squad.Ask, 0, 0)
		c.numbers(c.hears(squad.Numbers), 5, 4, 0)
		c.say(squad.Reserve, 5, time.Second)
		c.numbers(c.hears(squad.Refused), 5, 4, 0)
		c.say(squad.Reserve, 3, 5*time.Second)
		c.numbers(c.hears(squad.Granted), 5, 1, 3)
		for range 4 {
			r.send(1)
		}
		c.running(&running, 2)
		c.say(squad.Ask, 0, 0)
		c.numbers(c.hears(squad.Numbers), 5, 0, 3)
		time.Sleep(5 * time.Second)
		c.running(&running, 5)
		c.say(squad.Ask, 0, 0)
		c.numbers(c.hears(squad.Numbers), 5, 0, 0)
	})
}

// A reservation can be given up, or replaced by one of another size.
func TestReservationsAreReplaced(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(5, hour(&running))
		settled()
		c := r.captain()
		c.say(squad.Reserve, 4, 5*time.Second)
		c.hears(squad.Granted)
		c.say(squad.Reserve, 5, 5*time.Second)
		c.numbers(c.hears(squad.Granted), 5, 0, 5)
		for range 6 {
			r.send(1)
		}
		c.running(&running, 0)
		c.say(squad.Free, 0, 0)
		c.running(&running, 5)
	})
}

// The members wait until the squad has started.
func TestMembersStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(5, hour(&running))
		settled()
		c := r.captain()
		c.say(squad.Reserve, 3, 5*time.Second)
		c.hears(squad.Granted)
		c.store(3)
		if m := c.hears(squad.Ready); m.N != 3 {
			t.Errorf("%+v", m)
		}
		c.running(&running, 0)
		if _, err := r.b.Decide(t.Context(), c.squad, true); err != nil {
			t.Fatal(err)
		}
		c.say(squad.Go, 0, 0)
		c.running(&running, 3)
	})
}

// The arbiter is not heard of any more. If it has decided that the squad starts, the
// members start within about a second; otherwise they never start.
func TestSilentArbiter(t *testing.T) {
	for _, start := range []bool{true, false} {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			r.crew(3, hour(&running))
			settled()
			c := r.captain()
			c.say(squad.Reserve, 3, 5*time.Second)
			c.hears(squad.Granted)
			ids := c.store(3)
			c.hears(squad.Ready)
			want, state := int32(0), broker.StateCanceled
			if start {
				want, state = 3, broker.StateRunning
				if _, err := r.b.Decide(t.Context(), c.squad, true); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(800 * time.Millisecond)
			c.running(&running, 0)
			time.Sleep(200 * time.Millisecond)
			c.running(&running, want)
			if !start {
				time.Sleep(3700 * time.Millisecond) // with the sleeps above and in running, 4.9 s in all
				for _, id := range ids {
					if st := r.status(id); st.State != broker.StateRunning { // a member that waits is shown as running
						t.Errorf("a member is %s shortly before 5 s", st.State)
					}
				}
				time.Sleep(200 * time.Millisecond)
			}
			settled()
			for _, id := range ids {
				if st := r.status(id); st.State != state {
					t.Errorf("a member is %s, want %s", st.State, state)
				}
			}
			c.say(squad.Ask, 0, 0)
			c.numbers(c.hears(squad.Numbers), 3, 3-int(want), 0)
		})
	}
}

// A look for the decision that fails is repeated soon: other members may run already.
func TestLookThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running, looks atomic.Int32
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.LookupFlow && looks.Add(1) <= 3 {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		r.crew(3, hour(&running))
		settled()
		c := r.captain()
		c.say(squad.Reserve, 3, 5*time.Second)
		c.hears(squad.Granted)
		c.store(3)
		c.hears(squad.Ready)
		if _, err := r.b.Decide(t.Context(), c.squad, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1400 * time.Millisecond)
		c.running(&running, 3)
	})
}

// A minion that stops gives back members that have not started. Another minion asks what
// was decided.
func TestStopWithMembers(t *testing.T) {
	for _, start := range []bool{true, false} {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			first := r.crew(3, hour(&running))
			settled()
			c := r.captain()
			c.say(squad.Reserve, 3, 5*time.Second)
			c.hears(squad.Granted)
			ids := c.store(3)
			c.hears(squad.Ready)
			if err := first.stop(); err != nil {
				t.Error(err)
			}
			if _, err := r.b.Decide(t.Context(), c.squad, start); err != nil {
				t.Fatal(err)
			}
			r.crew(2, hour(&running))
			time.Sleep(3 * time.Hour)
			state := broker.StateCanceled
			if start {
				state = broker.StateSucceeded
			}
			for _, id := range ids {
				if st := r.status(id); st.State != state {
					t.Errorf("a member is %s, want %s", st.State, state)
				}
			}
		})
	}
}

// A member that is killed while it waits for the others never starts.
func TestKillOfMember(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(3, hour(&running))
		settled()
		c := r.captain()
		c.say(squad.Reserve, 2, 5*time.Second)
		c.hears(squad.Granted)
		ids := c.store(2)
		c.hears(squad.Ready)
		if _, err := r.arb.Kill(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := r.b.Decide(t.Context(), c.squad, true); err != nil {
			t.Fatal(err)
		}
		c.say(squad.Go, 0, 0)
		settled()
		if st := r.status(ids[0]); st.State != broker.StateCanceled {
			t.Errorf("it is %s", st.State)
		}
	})
}

// Messages that do not fit the state of the minion do no harm.
func TestBadPosts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(2, hour(&running))
		settled()
		c := r.captain()
		for _, post := range [][]byte{nil, {}, {1}, {9, 9}, make([]byte, 100)} {
			if err := r.b.Post(t.Context(), c.minion, post); err != nil {
				t.Fatal(err)
			}
		}
		for _, kind := range []squad.Kind{0, squad.Free, squad.Go, squad.Granted, 200} {
			c.say(kind, 1, 0)
		}
		c.say(squad.Reserve, 0, time.Second)
		c.numbers(c.hears(squad.Refused), 2, 2, 0)
	})
}
