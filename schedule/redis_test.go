package schedule_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

// On each broker, three processes run a schedule of each second, in real time. Two of them end. Each tick runs once.
func TestOnEachBroker(t *testing.T) {
	t.Parallel()
	onEach(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		var ends []func()
		for range 3 {
			ends = append(ends, r.run(r.scheduler(r.open())))
		}
		d := job("a", seconds, "x")
		d.Overlap, d.Missed = schedule.OverlapQueueAll, schedule.MissedAll
		r.must(r.s.Put(ctx, d))
		for i, end := range ends {
			r.until("it runs", func() bool { return len(r.noted("a")) >= 2*(i+1) })
			if i < 2 {
				end()
			}
		}
		r.must(r.s.Pause(ctx, "a", "enough"))
		st := r.get("a")
		r.until("all have run", func() bool { return len(r.noted("a")) >= st.Runs })
		ends[2]()
		got := r.noted("a")
		for i, x := range got {
			if i > 0 && x.Nominal.Sub(got[i-1].Nominal) != time.Second || x.at.Before(x.Nominal.Add(-time.Second)) {
				r.Errorf("run %d is for %v at %v, after %v", i, x.Nominal, x.at, got[max(i-1, 0)].Nominal)
			}
		}
		if len(got) != st.Runs {
			r.Errorf("%d runs, and the status says %d", len(got), st.Runs)
		}
		info, err := r.s.Trigger(ctx, "a")
		r.must(err)
		r.until("it has run", func() bool { n := r.noted("a"); return len(n) > len(got) && n[len(got)].Kind == schedule.Triggered })
		if info.Result != schedule.ResultSubmitted {
			r.Errorf("Trigger: %+v", info)
		}
		if n, err := r.s.Backfill(ctx, "a", time.Unix(1000, 0), time.Unix(1003, 0)); n != 3 || err != nil {
			r.Errorf("Backfill: %d, %v", n, err)
		}
		r.must(r.s.Resume(ctx, "a"))
		end := r.run(r.scheduler(r.open()))
		r.until("the backfill has run", func() bool { n := r.noted("a"); return len(n) > 3 && n[2].Nominal.Equal(time.Unix(1002, 0)) })
		end()
		r.must(r.s.Delete(ctx, "a"))
		if list, err := r.s.List(ctx); err != nil || len(list) > 0 {
			r.Errorf("List: %+v, %v", list, err)
		}
	})
}

func sealing(t testing.TB, key byte) codec.Codec {
	t.Helper()
	c, err := codec.Encrypt(codec.Msgpack(), bytes.Repeat([]byte{key}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A codec that encrypts hides what a schedule runs. A process without the key leaves it to others, and one that has changed the
// stored definition changes nothing that runs.
func TestSealed(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		key := sealing(t, 'k')
		defer r.work(minion.Codec(key))()
		owner := r.scheduler(r.b, schedule.Codec(key))
		defer r.run(r.s)() // without the key
		d := job("a", seconds, "secret-word")
		r.must(owner.Put(ctx, d))
		time.Sleep(5 * time.Second)
		if n := len(r.noted("a")); n > 0 {
			r.Errorf("%d runs without the key", n)
		}
		docs := r.b.(broker.Documents)
		doc, _, err := docs.ReadDocument(ctx, "schedules", "a")
		if err != nil || strings.Contains(string(doc.Data), "secret-word") {
			r.Errorf("the record shows what runs: %s, %v", doc.Data, err)
		}
		if st := r.get("a"); !errors.Is(st.Err, codec.ErrUnknownCodec) || st.Task != "" {
			r.Errorf("the status without the key is %+v", st)
		}
		end := r.run(owner)
		time.Sleep(5 * time.Second)
		got := r.noted("a")
		if len(got) == 0 || got[0].arg != "secret-word" {
			r.Fatalf("runs %+v", got)
		}
		r.must(owner.Put(ctx, d)) // equal, although it would be sealed to other bytes
		if st, err := owner.Get(ctx, "a"); err != nil || st.Err != nil || st.Task != "job" {
			r.Errorf("status %+v, %v", st, err)
		}
		// An operator without the key pauses it, and resumes it. It can't submit a tick that was decided before, so the owner does.
		r.must(r.s.Pause(ctx, "a", ""))
		for r.get("a").Open > 0 {
			time.Sleep(time.Second)
		}
		n := len(r.noted("a"))
		time.Sleep(3 * time.Second)
		if len(r.noted("a")) != n {
			r.Error("it runs although it is paused")
		}
		r.must(r.s.Resume(ctx, "a"))
		end()

		// The definition of another schedule, or one without a seal, is refused.
		r.must(owner.Put(ctx, job("b", seconds, "other")))
		other, _, err := docs.ReadDocument(ctx, "schedules", "b")
		r.must(err)
		doc, _, err = docs.ReadDocument(ctx, "schedules", "a")
		r.must(err)
		other.Name, other.Version = "a", doc.Version
		if _, err := docs.WriteDocument(ctx, "schedules", other); err != nil {
			r.Fatal(err)
		}
		if st, err := owner.Get(ctx, "a"); err != nil || !errors.Is(st.Err, codec.ErrForged) {
			r.Errorf("status %+v, %v", st, err)
		}
		r.must(r.s.Delete(ctx, "a"))
		r.must(r.s.Put(ctx, d))
		if st, err := owner.Get(ctx, "a"); err != nil || !errors.Is(st.Err, codec.ErrForged) {
			r.Errorf("status %+v, %v", st, err)
		}
	})
}

// What can't be run is refused when it is stored.
func TestPutRefuses(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		large := job("a", seconds, strings.Repeat("x", schedule.MaxArguments))
		if err := r.s.Put(r.Context(), large); !errors.Is(err, task.ErrTooLarge) || !strings.Contains(err.Error(), "schedule a") {
			r.Errorf("large arguments: %v", err)
		}
		meta := job("a", seconds)
		meta.Call = task.Named("job", task.Args(), task.Meta("k", strings.Repeat("v", broker.DefaultMaxMeta-10)))
		if err := r.s.Put(r.Context(), meta); !errors.Is(err, task.ErrTooLarge) {
			r.Errorf("large metadata: %v", err)
		}
		if list, err := r.s.List(r.Context()); len(list) > 0 || err != nil {
			r.Errorf("List: %+v, %v", list, err)
		}
	})
}

// A record of a newer program, or a damaged one, harms no other schedule.
func TestUnreadableRecords(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		defer r.run(r.s)()
		docs := r.b.(broker.Documents)
		r.must(r.s.Put(ctx, job("good", seconds)))
		for name, data := range map[string]string{"newer": `{"v":2,"new":true}`, "text": "text", "empty": "", "none": `{"v":1}`, "damaged": `{"v":1,"definition":"e30=","last":"x"}`} {
			if _, err := docs.WriteDocument(ctx, "schedules", broker.Document{Name: name, Data: []byte(data)}); err != nil {
				r.Fatal(err)
			}
		}
		time.Sleep(5500 * time.Millisecond)
		if n := len(r.noted("good")); n != 5 {
			r.Errorf("the good schedule has run %d times, want 5", n)
		}
		list, err := r.s.List(ctx)
		if err != nil || len(list) != 6 {
			r.Errorf("List: %+v, %v", list, err)
		}
		for _, st := range list {
			switch want := broker.ErrMalformed; st.Name {
			case "good":
				if st.Err != nil {
					r.Error(st.Err)
				}
			case "newer":
				want = broker.ErrVersion
				fallthrough
			default:
				if !errors.Is(st.Err, want) || !strings.Contains(st.Err.Error(), st.Name) {
					r.Errorf("%s: %v", st.Name, st.Err)
				}
			}
		}
		if err := r.s.Put(ctx, job("newer", seconds)); !errors.Is(err, broker.ErrVersion) {
			r.Errorf("Put over a record of a newer program: %v", err)
		}
		if err := r.s.Put(ctx, job("text", seconds)); !errors.Is(err, broker.ErrMalformed) || !strings.Contains(err.Error(), "delete") {
			r.Errorf("Put over a damaged record: %v", err)
		}
		for _, name := range []string{"newer", "text", "empty", "damaged"} {
			r.must(r.s.Delete(ctx, name))
		}
		r.must(r.s.Put(ctx, job("none", seconds))) // its record can be read, and its definition can't
		time.Sleep(3 * time.Second)
		if n := len(r.noted("none")); n < 2 {
			r.Errorf("%d runs", n)
		}
	})
}

// A unique key of the task, and other reasons for which the broker refuses it, are in the history.
func TestRefusedByAKey(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		ctx := r.Context()
		defer r.work()()
		defer r.run(r.s)()
		d := job("a", seconds)
		d.Call = task.Named("job", task.Args("long"), task.Unique("k"))
		d.End = time.Now().Add(3 * time.Second)
		r.must(r.s.Put(ctx, d))
		time.Sleep(10 * time.Second)
		ticks, err := r.s.History(ctx, "a")
		if err != nil || len(ticks) != 3 || ticks[1].Result != schedule.ResultRefused || !strings.Contains(ticks[1].Why, "unique key") {
			r.Errorf("history %+v, %v", ticks, err)
		}
		if st := r.get("a"); st.Runs != 1 {
			r.Errorf("%d runs, want 1", st.Runs)
		}
	})
}
