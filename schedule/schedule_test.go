package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/plain"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

type arguments = codec.Arguments

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A year of schedules in four zones passes, with both clock changes in each. Each tick runs once, at its time.
func TestAYear(t *testing.T) {
	t.Parallel()
	bubble(t, func(r *rig) {
		defer r.take()()
		defer r.run(r.s)()
		began := time.Now()
		var all []schedule.Definition
		for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"} {
			name := strings.ReplaceAll(zone, "/", ".")
			all = append(all,
				job(name+".night", schedule.Cron("0 30 2 * * *").In(zone)),
				job(name+".sunday", schedule.Cron("0 15 * * MAR,APR,SEP-NOV SUN").In(zone)),
			)
		}
		all = append(all,
			job("midnight", schedule.Cron("@daily").In("America/Santiago")), // one day there has none
			job("interval", schedule.Every(36*time.Hour)),
		)
		for _, d := range all {
			r.must(r.s.Put(r.Context(), d))
		}
		time.Sleep(366 * 24 * time.Hour)
		end := time.Now()
		ticks := 0
		for _, d := range all {
			want, err := d.Next(began, 10_000)
			r.must(err)
			got := r.noted(d.Name)
			for i, tick := range want {
				if tick.After(end) {
					want = want[:i]
					break
				}
			}
			if len(got) != len(want) {
				r.Fatalf("%s has run %d times, want %d", d.Name, len(got), len(want))
			}
			for i, tick := range want {
				if !got[i].Nominal.Equal(tick) || got[i].at.Before(tick) || got[i].at.Sub(tick) > time.Second {
					r.Fatalf("%s: run %d was for %v at %v, want %v", d.Name, i, got[i].Nominal, got[i].at, tick)
				}
			}
			ticks += len(got)
		}
		if ticks < 3000 {
			r.Fatalf("only %d ticks", ticks)
		}
		r.Logf("%d ticks", ticks)
	})
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	b := memory.New()
	defer func() { _ = b.Close() }()
	if _, err := schedule.New(plain.Broker{Broker: b}); !errors.Is(err, task.ErrUnsupported) || !strings.Contains(err.Error(), "Documents") {
		t.Errorf("New: %v", err)
	}
	if _, err := schedule.New(nil); !errors.Is(err, task.ErrInvalid) {
		t.Errorf("New: %v", err)
	}
	if err := schedule.Run(t.Context(), b, schedule.Declared("a b")); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("Run: %v", err)
	}
}
