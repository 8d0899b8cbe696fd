package broker_test

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

func TestTransitionsAndPhases(t *testing.T) {
	reached := map[broker.State]bool{broker.StateUnknown: true}
	for _, tr := range broker.Transitions() {
		if tr.From.Final() && tr.From != broker.StateFailed {
			t.Errorf("%v leads from a final state", tr)
		}
		reached[tr.To] = true
	}
	for s := broker.StateUnknown; s <= broker.StateParked; s++ {
		if !reached[s] {
			t.Errorf("no transition leads to %v", s)
		}
		if s.Final() != (s.Phase() == broker.PhaseDone) {
			t.Errorf("%v: final %v, phase %v", s, s.Final(), s.Phase())
		}
	}
}
