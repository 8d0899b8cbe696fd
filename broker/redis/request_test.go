package redis_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/ctxtest"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// Each method returns soon after its context has ended, also if the server hangs, and its
// error wraps the error of the context. A task that the server hands out to a dequeue after
// that comes with the next one.
func TestContextEndsRequests(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		busy := stall.Start(t)
		line := redisproxy.Start(t, strings.TrimPrefix(url, "redis://"))
		b := open(t, line.URL(), redis.Lease(30*time.Second))
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		several := consume(t, b, broker.ConsumerConfig{Queues: []string{"q", "r"}, Slots: 10})
		leaving := consume(t, b, broker.ConsumerConfig{Queues: []string{"r"}, Slots: 10})
		enqueue(t, b, newTask("q"))
		held := dequeue(t, c, 1, time.Second, "q")[0]
		task := newTask("q")
		enqueue(t, b, task)
		ids := []broker.ID{task.ID}
		group := broker.NewID(broker.KindGroup, "", 0)
		arrivals := []broker.Arrival{{Queue: "q", Task: task.ID, Flow: group, Outcome: broker.Outcome{State: broker.StateSucceeded}}}
		party := broker.NewID(broker.KindParty, "", 0)
		keyed := *held
		keyed.Unique = broker.Unique{Key: "k", UntilStart: true}
		mails := broker.Limit{Name: "mails", Most: 1}
		methods := map[string]func(ctx context.Context) error{
			"Enqueue":    func(ctx context.Context) error { return b.Enqueue(ctx, []*broker.Task{newTask("q")}) },
			"Lookup":     func(ctx context.Context) error { _, err := b.Lookup(ctx, ids); return err },
			"Cancel":     func(ctx context.Context) error { _, err := b.Cancel(ctx, ids); return err },
			"Minions":    func(ctx context.Context) error { _, err := b.Minions(ctx); return err },
			"Publish":    func(ctx context.Context) error { return b.Publish(ctx, []broker.Event{{Topic: "t"}}) },
			"Queues":     func(ctx context.Context) error { _, err := b.Queues(ctx); return err },
			"Requeue":    func(ctx context.Context) error { _, err := b.Requeue(ctx, ids); return err },
			"Arrivals":   func(ctx context.Context) error { _, err := b.Arrivals(ctx, "q", 10); return err },
			"Confirm":    func(ctx context.Context) error { return b.Confirm(ctx, arrivals) },
			"Blocked":    func(ctx context.Context) error { _, err := b.Blocked(ctx, ids); return err },
			"Release":    func(ctx context.Context) error { return b.Release(ctx, []*broker.Task{newTask("q")}) },
			"LookupFlow": func(ctx context.Context) error { _, err := b.LookupFlow(ctx, group); return err },
			"Members":    func(ctx context.Context) error { _, err := b.Members(ctx, group, 0, 10, true); return err },
			"Arrive":     func(ctx context.Context) error { _, err := b.Arrive(ctx, group, arrivals); return err },
			"EndFlow": func(ctx context.Context) error {
				return b.EndFlow(ctx, group, &broker.Outcome{State: broker.StateSucceeded})
			},
			"Post":   func(ctx context.Context) error { return b.Post(ctx, party, []byte("x")) },
			"Assign": func(ctx context.Context) error { return b.Assign(ctx, c.ID(), ids) },
			"Decide": func(ctx context.Context) error { _, err := b.Decide(ctx, group, true); return err },
			"Parked": func(ctx context.Context) error { _, err := b.Parked(ctx, "q"); return err },
			"Inbox":  func(ctx context.Context) error { _, err := b.Inbox(ctx, party); return err },
			"Settle": func(ctx context.Context) error {
				_, err := c.Settle(ctx, []broker.Settlement{succeed(held, "1")})
				return err
			},
			"Heartbeat": func(ctx context.Context) error { return c.Heartbeat(ctx, broker.Load{}) },
			"Close":     leaving.Close,
			"Dequeue": func(ctx context.Context) error {
				_, err := c.Dequeue(ctx, []string{"q"}, 1, time.Minute)
				return err
			},
			"Dequeue of several": func(ctx context.Context) error {
				_, err := several.Dequeue(ctx, []string{"r", "q"}, 1, time.Minute)
				return err
			},
			"AddLimit":       func(ctx context.Context) error { _, err := b.AddLimit(ctx, "q", mails); return err },
			"SetLimit":       func(ctx context.Context) error { return b.SetLimit(ctx, "q", mails) },
			"RemoveLimit":    func(ctx context.Context) error { return b.RemoveLimit(ctx, "q", "mails", "") },
			"LimitsIn":       func(ctx context.Context) error { _, err := b.LimitsIn(ctx, "q"); return err },
			"CloseLimit":     func(ctx context.Context) error { return b.CloseLimit(ctx, "q", "mails", "", time.Hour) },
			"SetWeight":      func(ctx context.Context) error { return b.SetWeight(ctx, "q", "key", 2) },
			"Weights":        func(ctx context.Context) error { _, err := b.Weights(ctx, "q"); return err },
			"ResumeSequence": func(ctx context.Context) error { return b.ResumeSequence(ctx, "q", "orders") },
			"Pause":          func(ctx context.Context) error { return b.Pause(ctx, "q", broker.Pause{Key: "nobody"}) },
			"Resume":         func(ctx context.Context) error { return b.Resume(ctx, "q", broker.Pause{Key: "nobody"}) },
			"Pauses":         func(ctx context.Context) error { _, err := b.Pauses(ctx, "q"); return err },
			"SetBound":       func(ctx context.Context) error { return b.SetBound(ctx, "q", 1_000_000) },
			"Bound":          func(ctx context.Context) error { _, _, err := b.Bound(ctx, "q"); return err },
			"ReadDocument":   func(ctx context.Context) error { _, _, err := b.ReadDocument(ctx, "c", "n"); return err },
			"WriteDocument": func(ctx context.Context) error {
				_, err := b.WriteDocument(ctx, "c", broker.Document{Name: "n"})
				return err
			},
			"RemoveDocument":  func(ctx context.Context) error { return b.RemoveDocument(ctx, "c", "n", 1) },
			"DocumentChanges": func(ctx context.Context) error { _, err := b.DocumentChanges(ctx, "c", 0, time.Minute); return err },
			"StartKey":        func(ctx context.Context) error { return b.StartKey(ctx, &keyed) },
			"LookupKeys":      func(ctx context.Context) error { _, err := b.LookupKeys(ctx, "q", []string{"k"}); return err },
			"FreeKeys":        func(ctx context.Context) error { _, err := b.FreeKeys(ctx, "q", []string{"k"}); return err },
			"RecordStart":     func(ctx context.Context) error { _, _, err := b.RecordStart(ctx, held); return err },
			"Halt":            func(ctx context.Context) error { _, err := b.Halt(ctx, []broker.ID{group}); return err },
			"DeadLetters":     func(ctx context.Context) error { _, _, err := b.DeadLetters(ctx, "q", "", 10); return err },
			"OpenFlow": func(ctx context.Context) error {
				return b.OpenFlow(ctx, &broker.Flow{ID: group, Size: 1, Quorum: 1}, 0, ids)
			},
			"MarkFlow": func(ctx context.Context) error { return b.MarkFlow(ctx, group, broker.MarkKilled) },
			"Consume": func(ctx context.Context) error {
				_, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
				return err
			},
			"Subscribe": func(ctx context.Context) error { _, err := b.Subscribe(ctx, "t", broker.CursorNow); return err },
			"Open": func(ctx context.Context) error {
				_, err := redis.Open(ctx, line.URL())
				return err
			},
		}
		for _, of := range []reflect.Type{reflect.TypeOf(b), reflect.TypeOf(c)} {
			for method := range of.Methods() {
				takesContext := method.Type.NumIn() > 1 && method.Type.In(1) == reflect.TypeFor[context.Context]()
				if methods[method.Name] == nil && takesContext && method.Name != "Round" { // Round is for tests
					t.Errorf("this test does not call the method %s of %s", method.Name, of)
				}
			}
		}
		line.Freeze(true)
		ctxtest.EndsAll(t, busy, methods)
		line.Freeze(false)
		// The task that was handed out to a dequeue comes with the next one.
		got := make(map[broker.ID]bool)
		for len(got) == 0 {
			for _, c := range []broker.Consumer{c, several} {
				ds, err := c.Dequeue(t.Context(), []string{"q"}, 10, 20*time.Millisecond)
				if err != nil && !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrIndeterminate) {
					t.Fatal(err)
				}
				for _, d := range ds {
					got[d.ID] = true
				}
			}
			if st, err := b.Lookup(t.Context(), ids); err == nil && st[0].State == broker.StateCanceled {
				break // the cancel above has reached the server and ended the task
			}
		}
	})
}
