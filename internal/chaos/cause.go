package chaos

import "strings"

// strikes says whether a fault's target is a process, the place it is in, or,
// if all counts, the server.
func strikes(target, proc string, all bool) bool {
	place, _, _ := strings.Cut(proc, ".")
	return target == proc || target == place || all && target == Server
}

// cause returns the fault that struck a process between two times, the most
// particular if there are several: one at the process before one at the server.
// The effect of a fault lasts for a lease longer than the fault itself.
func (h *history) cause(proc string, from, to int64, all bool) string {
	found := ""
	for _, f := range h.faults {
		if f.At > to || max(f.At, f.Until)+h.lease < from || !strikes(f.Target, proc, all) {
			continue
		}
		if f.Target != Server {
			return f.Fault
		}
		found = f.Fault
	}
	return found
}

// excuse returns why an attempt may be followed by the next one: the fault that
// cut it short, or that its settlement may have met.
func (h *history) excuse(a, next *attempt) string {
	until := next.At
	if a.ret != nil {
		until = min(until, a.ret.At+h.lease)
	}
	return h.cause(a.Proc, a.At, until, true)
}
