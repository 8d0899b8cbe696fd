package chaos

import (
	"strings"
	"time"
)

// strikes says whether a fault's target is a process, the place it is in, or,
// if all counts, the server.
func strikes(target, proc string, all bool) bool {
	place, _, _ := strings.Cut(proc, ".")
	return target == proc || target == place || all && target == Server
}

// harmless are the faults after which nothing may run again: they cost a
// connection, time, a script or a command that is sent once more, or new tasks
// that are refused, and never a lease.
var harmless = []string{CutBefore, CutAfter, CutAll, SlowLine, KillClients, FlushScripts, FillMemory, MoveSlots, SmallFault}

// SmallFault is one of a single request, which fails before or after it is carried
// out, or is carried out twice or late.
const SmallFault = "request"

// causes returns the faults that struck a process between two times. The effect
// of a fault lasts for a lease longer than the fault itself.
func (h *history) causes(proc string, from, to int64, all bool) []Event {
	var found []Event
	for _, f := range h.faults {
		if f.At > to { // they are in order
			break
		}
		if max(f.At, f.Until)+h.lease >= from && strikes(f.Target, proc, all) {
			found = append(found, f)
		}
	}
	return found
}

// likely returns the name of the most likely of several faults: one at the
// process before one at the server, and one that was meant before one that was
// not. It is empty if there is none.
func likely(faults []Event) string {
	name, best := "", -1
	for _, f := range faults {
		rank := 0
		if f.Target != Server {
			rank = 2
		}
		if f.Fault != SlowProcess && f.Fault != SlowServer {
			rank++
		}
		if rank >= best { // the last one is the nearest
			name, best = f.Fault, rank
		}
	}
	return name
}

// again judges that an attempt was followed by the next one. It needs a fault
// that cut it short, or that its settlement may have met.
func (h *history) again(r *Report, t *record, a, next *attempt) {
	until := next.At
	if a.ret != nil {
		until = min(until, a.ret.At+h.lease)
	}
	faults := h.causes(a.Proc, a.At, until, true)
	fault := likely(faults)
	after := time.Duration(next.At - a.At).Round(time.Millisecond)
	if fault == "" {
		r.add(t, Unexplained, "%s: attempt %d by %s was followed by attempt %d by %s after %v, and no fault struck it",
			t.key, a.Attempt, a.Proc, next.Attempt, next.Proc, after)
		return
	}
	r.Repeats[fault]++
	// A minion that doubts its lease ends its handlers before it gives their tasks back.
	given := a.ret != nil && a.ret.Outcome == Cut && a.ret.At < next.At
	if from := silent(faults); !given && from > 0 && next.At > a.At && next.At < from+h.lease/2 {
		r.add(t, TooEarly, "%s: attempt %d by %s was followed by attempt %d by %s %v after its minion fell silent (%s), within its lease",
			t.key, a.Attempt, a.Proc, next.Attempt, next.Proc, time.Duration(next.At-from).Round(time.Millisecond), fault)
	}
}

// silent returns when the first of several faults began, if all they can do is
// to keep a minion from beating its heart. It beats three times in a lease, so
// two thirds of one are left at least when it falls silent. It returns 0 if a
// fault can do more.
func silent(faults []Event) int64 {
	for _, f := range faults {
		switch f.Fault {
		case KillProcess, Poisoned, StopProcess, Freeze, SlowProcess:
		default:
			return 0
		}
	}
	return faults[0].At
}
