package squad_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

// A squad is told once, when more slots are free than it knows of, and not after its time.
func TestWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w squad.Waiters
		ask := func(id byte, n int) broker.ID {
			w.Add(squad.Message{Kind: squad.Ask, Squad: broker.ID{id}, N: n, For: time.Minute})
			return broker.ID{id}
		}
		next := func(free int, want ...broker.ID) {
			t.Helper()
			told := w.Next(free)
			if len(told) != len(want) {
				t.Fatalf("%d free slots: %d squads are told, want %d", free, len(told), len(want))
			}
			for i := range told {
				if told[i].Squad != want[i] {
					t.Errorf("%d free slots: squad %d is %v, want %v", free, i, told[i].Squad, want[i])
				}
			}
		}

		w.Seen(0)
		w.Drop(broker.ID{1})
		next(7)

		a := ask(1, 2)
		next(7) // it does not know yet how many are free
		w.Answered(a, 2)
		next(2)
		next(3, a)
		next(3) // once

		a = ask(1, 2)
		w.Seen(1) // between the reading of the number that is sent, and its note
		w.Answered(a, 3)
		next(1)
		next(2, a)

		a, b := ask(1, 2), ask(2, 2)
		w.Answered(a, 0)
		w.Answered(b, 0)
		next(2, a) // there are slots for one of the two
		next(2, b)

		a, b = ask(1, 1), ask(2, 1)
		w.Answered(a, 0)
		w.Answered(b, 0)
		w.Drop(a)
		next(1, b)

		w.Answered(ask(1, 1), 0)
		time.Sleep(time.Minute)
		next(1)
		if w.Any() {
			t.Error("a squad waits after its time")
		}
	})
}
