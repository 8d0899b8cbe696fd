//go:build unix

package e2e

import (
	"testing"
)

// The server is full when new minions start. They finish its tasks, and recover the tasks of a
// killed minion.
func TestOutOfMemoryNewMinion(t *testing.T) {
	t.Parallel()
	r, s := onServer(t, "--maxmemory-policy", "noeviction")
	if r == nil {
		return
	}
	victim := r.process(func(c *config) { c.Slots = 3 })
	held := r.send(3, args{Hang: true})
	r.started(3)
	waiting := r.send(30, args{})
	if err := s.Client().ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	victim.Kill()
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"default", "other"} })
	r.results(held)
	r.results(waiting)
	r.cfg.Ledger.check(t)
}
