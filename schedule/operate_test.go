package schedule_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

var seconds = schedule.Every(time.Second)

// show returns ticks as their times of day, with their kinds, results and states.
func show(ticks []schedule.TickInfo) string {
	var out []string
	for _, x := range ticks {
		text := x.Nominal.Format("04:05")
		if !x.Until.IsZero() {
			text += "-" + x.Until.Format("04:05")
		}
		if x.Kind != schedule.Scheduled {
			text += " " + x.Kind.String()
		}
		if x.Result != schedule.ResultSubmitted {
			text += " " + x.Result.String()
		}
		if x.State != broker.StateUnknown {
			text += " " + x.State.String()
		}
		if (x.Result == schedule.ResultSubmitted) == x.ID.IsZero() || x.Decided.IsZero() || (x.Why == "") != (x.Result == schedule.ResultSubmitted || x.Result == schedule.ResultWaiting) {
			text += " inconsistent"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (r *rig) history(name, want string) {
	r.Helper()
	ticks, err := r.s.History(r.Context(), name)
	if got := show(ticks); err != nil || got != want {
		r.Fatalf("the history of %s is %q, %v, want %q", name, got, err, want)
	}
}

func (r *rig) get(name string) schedule.Status {
	r.Helper()
	st, err := r.s.Get(r.Context(), name)
	r.must(err)
	return st
}

// The clock of a bubble begins at midnight, so the seconds in the tests are those since the start.
func TestLife(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		defer r.run(r.s)()
		d := job("a", seconds, "one")
		d.End = time.Now().Add(100 * time.Second)
		r.must(r.s.Put(ctx, d))
		time.Sleep(3100 * time.Millisecond)
		r.history("a", "00:01 succeeded, 00:02 succeeded, 00:03 succeeded")
		st := r.get("a")
		if st.Name != "a" || st.Task != "job" || st.Runs != 3 || st.Paused || !st.Created.Equal(time.Now().Add(-3100*time.Millisecond)) ||
			!st.Next.Equal(time.Now().Truncate(time.Second).Add(time.Second)) || st.Definition.When.String() != "every 1s" || !st.Definition.End.Equal(d.End) {
			r.Errorf("status %+v", st)
		}
		r.must(r.s.Put(ctx, d)) // it changes nothing
		r.must(r.s.Pause(ctx, "a", "too loud"))
		time.Sleep(3 * time.Second)
		if st := r.get("a"); !st.Paused || st.Note != "too loud" || !st.Next.IsZero() || st.Runs != 3 || !st.PausedAt.Equal(time.Now().Add(-3*time.Second)) {
			r.Errorf("status %+v", st)
		}
		info, err := r.s.Trigger(ctx, "a")
		if err != nil || info.Kind != schedule.Triggered || info.Result != schedule.ResultSubmitted || !info.Nominal.Equal(time.Now()) {
			r.Errorf("Trigger: %+v, %v", info, err)
		}
		time.Sleep(10 * time.Millisecond)
		if got := r.noted("a"); len(got) != 4 || got[3].Tick != (schedule.Tick{Schedule: "a", Nominal: info.Nominal, Kind: schedule.Triggered}) || got[3].arg != "one" {
			r.Errorf("runs %+v", got)
		}
		r.must(r.s.Resume(ctx, "a"))
		r.must(r.s.Resume(ctx, "a"))
		r.must(r.s.Put(ctx, job("a", seconds, "two"))) // without an end
		time.Sleep(2 * time.Second)
		r.history("a", "00:01 succeeded, 00:02 succeeded, 00:03 succeeded, 00:06 triggered succeeded, 00:07 succeeded, 00:08 succeeded")
		if got := r.noted("a"); len(got) != 6 || got[5].arg != "two" {
			r.Errorf("runs %+v", got)
		}
		next, err := r.s.Next(ctx, "a", 3)
		if err != nil || len(next) != 3 || next[0].Second() != 9 || next[2].Second() != 11 {
			r.Errorf("Next: %v, %v", next, err)
		}
		list, err := r.s.List(ctx)
		if err != nil || len(list) != 1 || list[0].Runs != 5 {
			r.Errorf("List: %+v, %v", list, err)
		}
		for range 2 {
			r.must(r.s.Delete(ctx, "a"))
		}
		time.Sleep(10 * time.Second)
		if n := len(r.noted("a")); n != 6 {
			r.Errorf("%d runs, want no more after Delete", n)
		}
		for name, err := range map[string]error{
			"Pause": r.s.Pause(ctx, "a", ""), "Resume": r.s.Resume(ctx, "a"), "Trigger": second(r.s.Trigger(ctx, "a")), "Get": second(r.s.Get(ctx, "a")),
			"Next": second(r.s.Next(ctx, "a", 1)), "History": second(r.s.History(ctx, "a")), "Backfill": second(r.s.Backfill(ctx, "a", time.Now(), time.Now().Add(1))),
		} {
			if !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), "schedule a") {
				r.Errorf("%s of a schedule that was deleted: %v", name, err)
			}
		}
		if err := r.s.Pause(ctx, "a b", ""); !errors.Is(err, task.ErrInvalid) {
			r.Errorf("Pause of an invalid name: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestBackfill(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		defer r.run(r.s)()
		d := job("a", schedule.Every(time.Hour))
		d.Overlap = schedule.OverlapSkip
		r.must(r.s.Put(ctx, d))
		midnight := time.Now()
		time.Sleep(90 * time.Minute)
		for range 2 { // the second time all of them have run
			n, err := r.s.Backfill(ctx, "a", midnight.Add(-3*time.Hour), midnight.Add(2*time.Hour))
			if err != nil || n != 5 {
				r.Errorf("Backfill: %d, %v, want 5", n, err)
			}
			time.Sleep(10 * time.Second)
			if got := r.noted("a"); len(got) != 5 || !got[0].Nominal.Equal(midnight.Add(-3*time.Hour)) || got[0].Kind != schedule.Backfilled || got[4].Kind != schedule.Scheduled {
				r.Errorf("runs %+v", got)
			}
		}
		if _, err := r.s.Backfill(ctx, "a", midnight, midnight); !errors.Is(err, task.ErrInvalid) {
			r.Errorf("an empty Backfill: %v", err)
		}
		if n, err := r.s.Backfill(ctx, "a", midnight.Add(time.Second), midnight.Add(time.Minute)); n != 0 || err != nil {
			r.Errorf("a Backfill without ticks: %d, %v", n, err)
		}
		// A large one, of a schedule whose runs may overlap.
		r.must(r.s.Put(ctx, job("b", schedule.Every(time.Minute))))
		if n, err := r.s.Backfill(ctx, "b", midnight.Add(-20*time.Hour), midnight); n != 1200 || err != nil {
			r.Errorf("Backfill: %d, %v, want 1200", n, err)
		}
		time.Sleep(10 * time.Second)
		if got := r.noted("b"); len(got) != 1200 {
			r.Errorf("%d runs, want 1200", len(got))
		}
		if st := r.get("b"); st.Runs != 0 {
			r.Errorf("a backfill counts as %d runs", st.Runs)
		}
	})
}

// The policies for overlaps, with tasks that run for 2.5 s and are due each second. The end of a run is noticed within a second.
func TestOverlapOfTasks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		overlap schedule.Overlap
		runs    string // the nominal times
		killed  int
	}{
		{schedule.OverlapAllow, "1 2 3 4 5 6", 0},
		{schedule.OverlapSkip, "1 4", 0},
		{schedule.OverlapQueueOne, "1 2 4", 0},
		{schedule.OverlapQueueAll, "1 2 3 4 5 6", 0},
		{schedule.OverlapCancel, "1 2 3 4 5 6", 5},
	} {
		t.Run(test.overlap.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(r *rig) {
				defer r.work()()
				defer r.run(r.s)()
				d := job("a", seconds, "long")
				d.Overlap, d.End = test.overlap, time.Now().Add(6*time.Second)
				r.must(r.s.Put(r.Context(), d))
				midnight := time.Now()
				time.Sleep(time.Minute)
				var runs []string
				var free time.Time // since when no run was left
				for _, n := range r.noted("a") {
					runs = append(runs, fmt.Sprint(n.Nominal.Sub(midnight).Seconds()))
					began := n.Nominal
					if free.After(began) {
						began = free
					}
					if late := n.at.Sub(began); late < 0 || late > time.Second {
						r.Errorf("the run of %v began %v after it could", n.Nominal, late)
					}
					switch test.overlap {
					case schedule.OverlapSkip, schedule.OverlapQueueOne, schedule.OverlapQueueAll:
						free = n.at.Add(long)
					}
				}
				if s := strings.Join(runs, " "); s != test.runs {
					r.Errorf("runs %q, want %q", s, test.runs)
				}
				ticks, err := r.s.History(r.Context(), "a")
				if err != nil || strings.Count(show(ticks), "canceled") != test.killed || strings.Contains(show(ticks), "inconsistent") {
					r.Errorf("%v, want %d runs that were killed: %s", err, test.killed, show(ticks))
				}
			})
		})
	}
}

func TestPauseAfterFailure(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		defer r.run(r.s)()
		d := job("a", schedule.Every(time.Minute), "fail")
		d.PauseOnFailure = true
		r.must(r.s.Put(ctx, d))
		time.Sleep(90 * time.Second)
		st := r.get("a")
		if !st.Paused || st.FailedTask.IsZero() || !strings.Contains(st.Note, st.FailedTask.String()) || !strings.Contains(st.Note, "failed") {
			r.Errorf("status %+v", st)
		}
		time.Sleep(time.Hour)
		r.history("a", "01:00 failed")
		r.must(r.s.Resume(ctx, "a"))
		time.Sleep(time.Hour)
		if n := len(r.noted("a")); n != 2 {
			r.Errorf("%d runs, want one more after Resume", n)
		}
	})
}

// A program declares its schedules. Those that it does not declare any more are removed, and no others.
func TestReconcile(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		r.must(r.s.Put(ctx, job("by-hand", schedule.Every(time.Hour))))
		r.must(r.s.Reconcile(ctx, "other", job("of-other", schedule.Every(time.Hour))))
		declare := func(defs ...schedule.Definition) *schedule.Scheduler {
			return r.scheduler(r.b, schedule.Declared("app", defs...))
		}
		names := func() string {
			list, err := r.s.List(ctx)
			r.must(err)
			var out []string
			for _, st := range list {
				out = append(out, st.Name+":"+st.Set)
			}
			return strings.Join(out, " ")
		}
		end := r.run(declare(job("a", schedule.Every(time.Hour)), job("b", schedule.Every(time.Minute))))
		time.Sleep(time.Millisecond)
		end()
		if got := names(); got != "a:app b:app by-hand: of-other:other" {
			r.Fatal(got)
		}
		r.must(r.s.Pause(ctx, "b", "not now"))
		end = r.run(declare(job("b", schedule.Every(time.Minute)), job("c", seconds)))
		time.Sleep(90 * time.Second)
		end()
		if got := names(); got != "b:app by-hand: c:app of-other:other" {
			r.Fatal(got)
		}
		if st := r.get("b"); !st.Paused || st.Runs > 0 {
			r.Errorf("status %+v", st)
		}
		if len(r.noted("a")) > 0 || len(r.noted("c")) != 90 {
			r.Errorf("%d and %d runs, want 0 and 90", len(r.noted("a")), len(r.noted("c")))
		}
		for _, name := range []string{"by-hand", "of-other"} {
			err := r.s.Reconcile(ctx, "app", job(name, seconds))
			if !errors.Is(err, task.ErrDuplicate) || !strings.Contains(err.Error(), name) {
				r.Errorf("a schedule of somebody else is declared: %v", err)
			}
		}
		if got := names(); got != "b:app by-hand: c:app of-other:other" {
			r.Error(got)
		}
		if err := r.s.Reconcile(ctx, "app", job("x", seconds), job("x", seconds)); !errors.Is(err, task.ErrInvalid) {
			r.Errorf("the same name twice: %v", err)
		}
		r.must(r.s.Reconcile(ctx, "app"))
		if got := names(); got != "by-hand: of-other:other" {
			r.Error(got)
		}
	})
}

// Whenever a process dies, whatever it is doing, each tick runs once, and none is missing.
func TestDeathAtEachRequest(t *testing.T) {
	t.Parallel()
	died := make(map[faulty.Op]bool)
	for _, after := range []bool{false, true} { // before or after the request is carried out
		for n := 1; ; n++ {
			var op faulty.Op
			bubble(t, func(r *rig) {
				defer r.work()()
				d := job("a", seconds)
				d.Missed, d.Overlap = schedule.MissedAll, schedule.OverlapQueueAll
				victim := faulty.New(r.b)
				requests := 0
				die := func(what faulty.Op) error {
					if requests++; requests == n {
						op = what
						victim.Kill()
					}
					return nil
				}
				hooks := faulty.Hooks{}
				if after {
					hooks.After = func(op faulty.Op, _ int) error { return die(op) }
				} else {
					hooks.Strike = func(_ faulty.Op, _ int) (f faulty.Fault) {
						if requests++; requests == n {
							victim.Kill()
						}
						return f
					}
				}
				victim.Set(hooks)
				s := r.scheduler(victim, schedule.Declared("app", d))
				ended := make(chan struct{})
				go func() { defer close(ended); _ = s.Run(r.Context()) }()
				time.Sleep(3500 * time.Millisecond)
				victim.Kill()
				<-ended
				if requests < n {
					n = -1
					return
				}
				died[op] = true
				defer r.run(r.scheduler(r.b, schedule.Declared("app", d)))()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				first := r.get("a").Created.Truncate(time.Second).Add(time.Second)
				got := r.noted("a")
				for i, x := range got {
					if !x.Nominal.Equal(first.Add(time.Duration(i) * time.Second)) {
						r.Fatalf("death at request %d (%s): run %d is for %v: %+v", n, op, i, x.Nominal, got)
					}
				}
				if want := int(time.Since(first)/time.Second) + 1; len(got) != want && len(got) != want-1 {
					r.Fatalf("death at request %d (%s): %d runs, want %d", n, op, len(got), want)
				}
			})
			if n < 0 || t.Failed() {
				break
			}
		}
	}
	for _, op := range []faulty.Op{faulty.WriteDocument, faulty.Enqueue, faulty.DocumentChanges, faulty.Lookup} {
		if !died[op] {
			t.Errorf("no process has died at %s", op)
		}
	}
}

// Several processes whose requests fail, are executed twice or come late run the same schedules. Each tick runs once, at about its
// time.
func TestProcessesWithFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		bubble(t, func(r *rig) {
			ctx := r.Context()
			defer r.work()()
			rates := faulty.Rates{Before: 60, After: 60, Twice: 60, Slow: 60, Longest: 300 * time.Millisecond}
			var ends []func()
			for _, name := range []string{"a", "b", "c"} {
				w := faulty.New(r.b)
				w.Set(faulty.Seeded(seed, name, rates, nil))
				ends = append(ends, r.run(r.scheduler(w)))
			}
			policies := map[string]schedule.Overlap{"allow": schedule.OverlapAllow, "queue": schedule.OverlapQueueAll}
			began := time.Now()
			for name, overlap := range policies {
				d := job(name, seconds)
				d.Overlap, d.Missed = overlap, schedule.MissedAll
				r.must(r.s.Put(ctx, d))
			}
			time.Sleep(30*time.Second + 500*time.Millisecond)
			for name := range policies {
				r.must(r.s.Pause(ctx, name, ""))
			}
			time.Sleep(20 * time.Second)
			for _, end := range ends {
				end()
			}
			for name := range policies {
				got := r.noted(name)
				st := r.get(name)
				for i, x := range got {
					if !x.Nominal.Equal(began.Add(time.Duration(i+1)*time.Second)) || x.at.Sub(x.Nominal) > 10*time.Second {
						r.Fatalf("seed %d: run %d of %s was for %v at %v", seed, i, name, x.Nominal, x.at)
					}
				}
				if len(got)+st.Waiting < 28 || len(got) != st.Runs {
					r.Errorf("seed %d: %s has run %d times, and its status says %d, with %d that wait", seed, name, len(got), st.Runs, st.Waiting)
				}
			}
		})
	}
}

// When Pause or Delete has returned, the schedule starts no task, however late the requests of other processes come.
func TestPauseHolds(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		for _, name := range []string{"x", "y", "z"} {
			w := faulty.New(r.b)
			w.Set(faulty.Seeded(1, name, faulty.Rates{Before: 50, After: 50, Twice: 50, Slow: 400, Longest: 400 * time.Millisecond}, nil))
			defer r.run(r.scheduler(w))()
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 60 {
			r.must(r.s.Put(ctx, job("a", seconds)))
			r.must(r.s.Resume(ctx, "a"))
			time.Sleep(2*time.Second + time.Duration(rng.Int64N(int64(1500*time.Millisecond))))
			if i%4 == 0 {
				r.must(r.s.Delete(ctx, "a"))
			} else {
				r.must(r.s.Pause(ctx, "a", ""))
			}
			time.Sleep(time.Millisecond) // what was submitted starts
			n := len(r.noted("a"))
			time.Sleep(5 * time.Second)
			if now := len(r.noted("a")); now != n {
				r.Fatalf("round %d: %d tasks have started after the schedule was stopped", i, now-n)
			}
		}
		if n := len(r.noted("a")); n < 60 {
			r.Errorf("only %d runs", n)
		}
	})
}

// The definition of a status can be stored again, changed or under another name. Its call is the same.
func TestPutOfAStatus(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		d := job("a", schedule.Cron("*/2 * * * * *").In("Europe/Berlin"), "x")
		d.Start, d.End, d.Runs = time.Now(), time.Now().Add(time.Hour), 100
		d.Except = []schedule.Exclusion{schedule.Day("2000-01-02"), schedule.Between(time.Now().Add(time.Minute), time.Now().Add(2*time.Minute))}
		d.Jitter, d.Overlap, d.Missed, d.Window, d.PauseOnFailure = time.Millisecond, schedule.OverlapQueueAll, schedule.MissedAll, time.Hour, true
		d.Call = d.Call.(task.Call[any]).With(task.Queue("default"), task.Retries(3), task.Timeout(time.Minute), task.Priority(7), task.Meta("k", "v"),
			task.Unique("u"), task.UniqueFor(time.Second), task.Within(time.Hour), task.Slots(2))
		r.must(r.s.Put(ctx, d))
		docs := r.b.(broker.Documents)
		before, _, err := docs.ReadDocument(ctx, "schedules", "a")
		r.must(err)
		st := r.get("a")
		r.must(r.s.Put(ctx, st.Definition))
		if after, _, err := docs.ReadDocument(ctx, "schedules", "a"); err != nil || after.Version != before.Version {
			r.Errorf("the stored definition is another one than that of the status:\n%s\n%s", before.Data, after.Data)
		}
		other := st.Definition
		other.Name, other.When = "b", schedule.Every(time.Second)
		r.must(r.s.Put(ctx, other))
		defer r.run(r.s)()
		time.Sleep(5 * time.Second)
		for _, name := range []string{"a", "b"} {
			if got := r.noted(name); len(got) == 0 || got[0].arg != "x" {
				r.Errorf("runs of %s: %+v", name, got)
			}
		}
	})
}
