package chaos

import (
	"strings"
	"time"
)

// strikes reports whether a fault with this target affects a process. The target is the process,
// its host or, if all is set, the server.
func strikes(target, proc string, all bool) bool {
	host, _, _ := strings.Cut(proc, ".")
	return target == proc || target == host || all && target == Server
}

// harmless are the faults after which no task may run again. They cost a connection, time, a
// repeated script or command, or a refused new task, but never a lease.
var harmless = []string{CutBefore, CutAfter, CutAll, SlowLine, KillClients, FlushScripts, FillMemory, MoveSlots, SmallFault}

// SmallFault is a fault of a single request. It fails before or after it is carried out, is carried
// out twice, or is late.
const SmallFault = "request"

// causes returns the faults that affected a process between two times. A fault has effects until
// one lease after its end.
func (h *history) causes(proc string, from, to int64, all bool) []Event {
	var found []Event
	for _, f := range h.faults {
		if f.At > to { // faults are in order of time
			break
		}
		if max(f.At, f.Until)+h.lease >= from && strikes(f.Target, proc, all) {
			found = append(found, f)
		}
	}
	return found
}

// likely returns the name of the most likely of several faults: a fault of the process before a
// fault of the server, and an intended fault before an unintended one. It returns "" if there is
// none.
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
		if rank >= best { // the last one is the nearest in time
			name, best = f.Fault, rank
		}
	}
	return name
}

// again judges that an attempt was followed by the next one. That needs a fault which cut the
// attempt short, or which may have stopped its settlement.
func (h *history) again(r *Report, t *taskHistory, a, next *attempt) {
	until := next.At
	if a.ret != nil {
		until = min(until, a.ret.At+h.lease)
	}
	faults := h.causes(a.Proc, a.At, until, true)
	fault := likely(faults)
	after := time.Duration(next.At - a.At).Round(time.Millisecond)
	if fault == "" {
		r.add(t, Unexplained, "%s: attempt %d by %s was followed by attempt %d by %s after %v, without a fault that explains it",
			t.key, a.Attempt, a.Proc, next.Attempt, next.Proc, after)
		return
	}
	r.Repeats[fault]++
	// A minion that is not sure of its lease ends its handlers before it gives their tasks back.
	given := a.ret != nil && a.ret.Outcome == Cut && a.ret.At < next.At
	if from := silent(faults); !given && from > 0 && next.At > a.At && next.At < from+h.lease/2 {
		r.add(t, TooEarly, "%s: attempt %d by %s was followed by attempt %d by %s %v after its minion fell silent (%s), within its lease",
			t.key, a.Attempt, a.Proc, next.Attempt, next.Proc, time.Duration(next.At-from).Round(time.Millisecond), fault)
	}
}

// silent returns the begin of the first fault if the faults can only keep a minion from sending
// heartbeats. A minion sends three heartbeats in a lease, so at least two thirds of the lease are
// left when it falls silent. It returns 0 if one of the faults can have other effects.
func silent(faults []Event) int64 {
	for _, f := range faults {
		switch f.Fault {
		case KillProcess, Poisoned, StopProcess, Freeze, Unreachable, SlowProcess:
		default:
			return 0
		}
	}
	return faults[0].At
}
