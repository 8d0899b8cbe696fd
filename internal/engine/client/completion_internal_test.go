package client

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The error about a task that the broker does not know claims only what is certain. In
// particular it says that the result is not kept any more only if the broker says so.
func TestUnknownTaskSaysWhy(t *testing.T) {
	t.Parallel()
	fresh := broker.NewID(broker.KindTask, "q", 0)
	old := fresh
	made := time.Now().Add(-time.Hour).UnixMilli()
	for i := range 6 {
		old[i] = byte(made >> (8 * (5 - i)))
	}
	for _, c := range []struct {
		name      string
		a         Completion
		want, not string
	}{
		{"sent from here just now", Completion{ID: fresh, Own: true}, "it has lost data", "retention"},
		{"sent from here long ago", Completion{ID: old, Own: true}, "its retention has ended, or the broker has lost data", "not kept"},
		{"sent from elsewhere", Completion{ID: fresh}, "it was never sent, its retention has ended, or the broker has lost data", "not kept"},
		{"known to be final", Completion{ID: fresh, Own: true, State: broker.StateSucceeded}, "its result is not kept any more", "lost"},
	} {
		err := c.a.Err()
		if !errors.Is(err, broker.ErrNotFound) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
