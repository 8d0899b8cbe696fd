package client

import (
	"strings"
	"testing"
)

// The reason is found with one list of minions and may be told with a newer one, from which
// the minions of the queue have left.
func TestReasonWhoseMinionsHaveLeft(t *testing.T) {
	r := &minionSummary{queues: map[string]*queueSummary{}}
	for _, w := range []why{noMinion, noHandler, noFit} {
		if text := r.describe(obstacle{why: w, queue: "q", task: "add"}); !strings.HasPrefix(text, "which no living minion serves") {
			t.Errorf("reason %d: %q", w, text)
		}
	}
	if text := r.describe(obstacle{}); text != "" {
		t.Errorf("no obstacle: %q", text)
	}
}
