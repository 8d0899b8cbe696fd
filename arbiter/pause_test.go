package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// An operator pauses and resumes a queue, a name and a key, also in a queue with partitions. A queue needs no task for that.
func TestPauses(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		ctx := t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want := func(list ...string) {
			t.Helper()
			infos, err := arb.Pauses(ctx, "default")
			check(err)
			var got []string
			for _, info := range infos {
				got = append(got, fmt.Sprintf("%s/%s", info.Task, info.Key))
			}
			if !slices.Equal(got, list) {
				t.Errorf("pauses %q, want %q", got, list)
			}
		}
		want()
		check(arb.PauseKey(ctx, "default", "acme"))
		check(arb.PauseTask(ctx, "default", "work"))
		check(arb.PauseQueue(ctx, "default"))
		check(arb.PauseQueue(ctx, "default"))
		want("/", "work/", "/acme")
		var futs []*task.Future[int]
		for n := range 20 {
			fut, err := work.Apply(ctx, arb, args{n})
			check(err)
			futs = append(futs, fut)
		}
		late, err := work.With(task.FairKey("acme")).Apply(ctx, arb, args{99})
		check(err)
		check(arb.ResumeQueue(ctx, "default"))
		check(arb.ResumeTask(ctx, "default", "work"))
		want("/acme")
		if got := order(t, b, futs); len(got) != len(futs) {
			t.Errorf("%d tasks ran, want %d: those without the key that is paused", len(got), len(futs))
		}
		check(arb.ResumeKey(ctx, "default", "acme"))
		check(arb.ResumeKey(ctx, "default", "acme"))
		want()
		if got := order(t, b, []*task.Future[int]{late}); !slices.Equal(got, []int{99}) {
			t.Errorf("tasks %v ran, want 99", got)
		}
		for want, err := range map[string]error{
			"pause of queue a b":                        arb.PauseQueue(ctx, "a b"),
			"resume of queue a b":                       arb.ResumeQueue(ctx, "a b"),
			`pause task "" of queue q: invalid`:         arb.PauseTask(ctx, "q", ""),
			`resume task "a b" of queue q: invalid`:     arb.ResumeTask(ctx, "q", "a b"),
			`pause key "" of queue q: invalid: the key`: arb.PauseKey(ctx, "q", ""),
			"a key of 256 bytes":                        arb.ResumeKey(ctx, "q", strings.Repeat("k", 256)),
		} {
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want ErrInvalid with %q", err, want)
			}
		}
		_ = arb.Close()
		if err := arb.PauseQueue(ctx, "q"); !errors.Is(err, task.ErrClosed) {
			t.Errorf("after Close: error %v", err)
		}
	})
}

// Groups and pipes wait at the part whose queue is paused, and go on from there.
func TestPausedFlow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(5, echo)
		if err := r.arb.PauseQueue(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		all, err := task.All(work.Bind(args{1}), work.Bind(args{2})).Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := r.arb.ResumeQueue(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
		if got, err := all.Result(t.Context()); err != nil || !slices.Equal(got, []int{1, 2}) {
			t.Errorf("results %v, %v", got, err)
		}
		r.near("the group", began, time.Hour, time.Second)
	})
}

// A squad does not start while the queue of a member is paused. Its error names the queue and the remedy, and nothing
// of it is left.
func TestPausedSquad(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(3, echo)
		time.Sleep(time.Second) // until the minion has registered
		calls := []task.Call[int]{work.Bind(args{1}), work.Bind(args{2})}
		type change struct{ pause, resume func(context.Context) error }
		for _, c := range []change{
			{
				func(ctx context.Context) error { return r.arb.PauseQueue(ctx, "default") },
				func(ctx context.Context) error { return r.arb.ResumeQueue(ctx, "default") },
			},
			{
				func(ctx context.Context) error { return r.arb.PauseTask(ctx, "default", "work") },
				func(ctx context.Context) error { return r.arb.ResumeTask(ctx, "default", "work") },
			},
		} {
			if err := c.pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err := arbiter.SquadOf(t.Context(), r.arb, calls)
			if !errors.Is(err, task.ErrPaused) || !strings.Contains(err.Error(), "queue default") || !strings.Contains(err.Error(), "Arbiter.Pauses") {
				t.Errorf("error %v, want ErrPaused with queue and remedy", err)
			}
			if err := c.resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			squad, err := arbiter.SquadOf(t.Context(), r.arb, calls)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := squad.Results(t.Context()); err != nil || !slices.Equal(got, []int{1, 2}) {
				t.Errorf("results %v, %v", got, err)
			}
		}
	})
}
