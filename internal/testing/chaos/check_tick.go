package chaos

import (
	"maps"
	"math"
	"slices"
	"time"
)

// plan is everything that is known of a schedule.
type plan struct {
	name   string
	every  int64            // the interval; 0 if it is not known that it was stored
	from   int64            // when it was known to be stored first
	until  int64            // its end
	paused []Event          // Stopped and Continue
	asked  []Event          // Stopping and Continued
	starts map[int64]*Event // the first start for each nominal time
}

// planned are the kinds of the events of schedules.
var planned = []Kind{Ticks, Stopping, Stopped, Continue, Continued}

func (h *history) plan(name string) *plan {
	p := h.plans[name]
	if p == nil {
		p = &plan{name: name, starts: make(map[int64]*Event)}
		h.plans[name] = p
	}
	return p
}

func (p *plan) add(e *Event) {
	switch e.Kind {
	case Ticks:
		if p.every == 0 {
			p.every, p.from, p.until = e.Within, e.At, e.Until
		}
	case Stopping, Continued:
		p.asked = append(p.asked, *e)
	default:
		p.paused = append(p.paused, *e)
	}
}

// ran notes a start. The events come in the order of their times.
func (p *plan) ran(e *Event) {
	if p.starts[e.Nominal] == nil {
		p.starts[e.Nominal] = e
	}
}

// early is how far the clocks of a server and of the ledgers may differ on one machine.
const early = int64(2 * time.Millisecond)

// ticks checks the schedules: which ticks have started, and when.
func (h *history) ticks(r *Report) {
	for _, name := range slices.Sorted(maps.Keys(h.plans)) {
		p := h.plans[name]
		nominals := slices.Sorted(maps.Keys(p.starts))
		r.Ticks += len(nominals)
		for _, n := range nominals {
			e := p.starts[n]
			t := h.of(e.Key)
			switch {
			case e.At < n-early:
				r.add(t, Untimely, "%s was started by %s %v before its time", t.key, e.Proc, time.Duration(n-e.At))
			case p.every > 0 && (n%p.every != 0 || n > p.until):
				r.add(t, Untimely, "%s was started by %s, but it is no tick of the schedule, which is due each %v until %v",
					t.key, e.Proc, time.Duration(p.every), time.Unix(0, p.until).UTC())
			case h.stopped(p, n):
				r.add(t, Untimely, "%s was started by %s, but it was due while the schedule was paused", t.key, e.Proc)
			}
		}
		if p.every == 0 {
			continue
		}
		breaks := h.breaks(p)
		for n := p.from - p.from%p.every + p.every; n <= p.until; n += p.every {
			if p.starts[n] == nil && !p.leftOut(n, breaks) {
				h.missing(r, p, n)
			}
		}
	}
}

// stopped reports whether a moment is between the return of a pause and the next resume. A pause that a
// server may have lost does not count.
func (h *history) stopped(p *plan, n int64) bool {
	stopped := false
	for _, e := range p.paused {
		if e.At+early > n { // the events after it do not concern the moment, unless the clocks differ
			return stopped && n+early < e.At
		}
		stopped = e.Kind == Stopped && !h.forgets(e.At)
	}
	return stopped
}

// breaks returns the times in which a schedule was perhaps paused: from each request to pause it to the return of the next one to
// resume it. If a process is killed before it knows that its pause has returned, the schedule may be paused for good. If a server may
// have lost a resume, the schedule may be paused until the next one.
func (h *history) breaks(p *plan) (all []span) {
	for _, e := range p.asked {
		n := len(all)
		switch open := n > 0 && all[n-1].to == math.MaxInt64; {
		case e.Kind == Stopping && !open:
			all = append(all, span{e.At, math.MaxInt64})
		case e.Kind == Continued && open && !h.forgets(e.At):
			all[n-1].to = e.At
		}
	}
	return all
}

// forgets reports whether a server may have lost what it stored at a time.
func (h *history) forgets(at int64) bool {
	return slices.ContainsFunc(h.faults, func(f Event) bool {
		return (f.Fault == Failover || f.Fault == PowerFailure) && f.At-int64(lag) <= at && at <= f.Until
	})
}

// leftOut reports whether a pause may have left a tick out. When a schedule is resumed, the ticks that were due before and that nobody
// has decided are left out, also those from before the pause. Ticks are decided in order. So if a later tick started before the pause
// was requested, the tick was decided before the pause, which does not leave it out then.
func (p *plan) leftOut(n int64, breaks []span) bool {
	decided := int64(math.MaxInt64)
	for later, e := range p.starts {
		if later > n {
			decided = min(decided, e.At)
		}
	}
	return slices.ContainsFunc(breaks, func(b span) bool { return b.from < decided && n-early <= b.to })
}

// missing reports that a tick has not started, unless a server may have lost it.
func (h *history) missing(r *Report, p *plan, n int64) {
	for _, f := range h.faults {
		if (f.Fault == Failover || f.Fault == PowerFailure) && n <= f.Until+int64(lag) && n >= f.At-int64(30*time.Second) {
			r.Excused[Untimely]++
			return
		}
	}
	t := &taskHistory{key: p.name}
	r.add(t, Untimely, "the tick of %s at %v, %v after it was stored, has not started", p.name, time.Unix(0, n).UTC(), time.Duration(n-p.from))
}
