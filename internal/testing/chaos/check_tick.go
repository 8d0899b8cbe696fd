package chaos

import (
	"maps"
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
	starts map[int64]*Event // the first start for each nominal time
}

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
			case p.stopped(n):
				r.add(t, Untimely, "%s was started by %s, but it was due while the schedule was paused", t.key, e.Proc)
			}
		}
		if p.every == 0 || len(p.paused) > 0 { // a pause leaves ticks out that were due shortly before
			continue
		}
		for n := p.from - p.from%p.every + p.every; n <= p.until; n += p.every {
			if p.starts[n] == nil {
				h.missing(r, p, n)
			}
		}
	}
}

// stopped reports whether a moment is between the return of a pause and the next resume.
func (p *plan) stopped(n int64) bool {
	stopped := false
	for _, e := range p.paused {
		if e.At+early > n { // the events after it do not concern the moment, unless the clocks differ
			return stopped && n+early < e.At
		}
		stopped = e.Kind == Stopped
	}
	return stopped
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
