package minion

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A dropped result is logged only for a task whose handler was started.
func TestNoResultOfWhatWasNotStarted(t *testing.T) {
	t.Parallel()
	for _, unstarted := range []bool{false, true} {
		var text bytes.Buffer
		r := &run{log: logger{l: slog.New(slog.NewTextHandler(&text, nil))}}
		st := broker.Settlement{Delivery: &broker.Delivery{Task: broker.Task{Name: "work"}}, Verb: broker.VerbGiveBack, Unstarted: unstarted}
		r.lose(st.Delivery, st.Unstarted, "for a reason")
		if strings.Contains(text.String(), "result dropped") == unstarted || !strings.Contains(text.String(), "for a reason") {
			t.Errorf("unstarted %t: %s", unstarted, text.String())
		}
		if n := started([]broker.Settlement{st}); (n == 0) != unstarted {
			t.Errorf("unstarted %t: %d count as started", unstarted, n)
		}
	}
}

// A minion that stops while settlements are stuck counts the results among them as lost, and
// not what it only gave back.
func TestStuckResultsThatAreLost(t *testing.T) {
	t.Parallel()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	r := &run{log: logger{l: slog.New(slog.DiscardHandler)}}
	s := &session{r: r, bg: done, asleep: true, wake: make(chan struct{}, 1), stuckUntil: time.Now().Add(time.Hour)}
	for _, unstarted := range []bool{true, false, true} {
		s.stuck = append(s.stuck, broker.Settlement{
			Delivery: &broker.Delivery{Task: broker.Task{Name: "work"}}, Verb: broker.VerbGiveBack, Unstarted: unstarted,
		})
	}
	s.sleep()
	if r.dropped != 1 || len(s.stuck) != 0 {
		t.Errorf("%d results are lost and %d settlements are stuck, want 1 and 0", r.dropped, len(s.stuck))
	}
}
