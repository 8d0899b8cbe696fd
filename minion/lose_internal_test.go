package minion

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// A dropped result is logged only for a task whose handler was started.
func TestNoResultOfWhatWasNotStarted(t *testing.T) {
	t.Parallel()
	for _, unstarted := range []bool{false, true} {
		var text bytes.Buffer
		r := &run{log: logger{l: slog.New(slog.NewTextHandler(&text, nil))}}
		st := broker.Settlement{Delivery: &broker.Delivery{Task: broker.Task{Name: "work"}}, Verb: broker.VerbRelease, Unstarted: unstarted}
		r.lose(st.Delivery, st.Unstarted, "for a reason")
		if strings.Contains(text.String(), "result dropped") == unstarted || !strings.Contains(text.String(), "for a reason") {
			t.Errorf("unstarted %t: %s", unstarted, text.String())
		}
		if n := started([]broker.Settlement{st}); (n == 0) != unstarted {
			t.Errorf("unstarted %t: %d count as started", unstarted, n)
		}
	}
}
