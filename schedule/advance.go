package schedule

import (
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/cut"
)

// This file decides ticks. It changes a record in memory, and does no I/O: the caller stores the record if nobody else has
// changed it meanwhile, and otherwise begins again with the new one.

// mostDecided is how many ticks one change of a record decides.
const mostDecided = 50

// ended takes the final states of open runs into the history. states has what the broker knows of them; a run that is not in it
// was not looked up.
func (s *stored) ended(states map[broker.ID]broker.State, now int64) (changed bool) {
	s.Open = slices.DeleteFunc(s.Open, func(r run) bool {
		state, known := states[r.ID]
		if !known || !state.Final() && state != broker.StateUnknown {
			return false
		}
		r.State, r.Stop = state, false
		s.note(r)
		changed = true
		if (state == broker.StateFailed || state == broker.StateExpired) && s.def.PauseOnFailure && s.Paused == nil {
			s.Paused = &pause{
				At: now, Failed: r.ID.String(),
				Note: fmt.Sprintf("task %s, which ran for %s, has %s", r.ID, moment(r.Nominal).Format("2006-01-02T15:04:05Z"), state),
			}
		}
		return true
	})
	return changed
}

// advance decides what is due at a time: ticks of the schedule, ticks that wait for the end of a run, and those of a backfill. It
// reports whether the record has changed. There must be no intents, since those come first.
func (s *stored) advance(now int64) (changed bool) {
	if s.Paused == nil {
		changed = s.decideDue(now)
	}
	return s.startWaiting(now) || changed
}

// decideDue decides the ticks that are due.
func (s *stored) decideDue(now int64) (changed bool) {
	for range mostDecided {
		tick, ok := s.tt.after(s.Last)
		if !ok || s.over() {
			break
		}
		due := s.tt.due(tick)
		if due > now {
			break
		}
		changed = true
		if now-due <= s.tt.grace(tick) {
			s.Last = tick
			s.decide(s.run(Scheduled, tick, now))
			continue
		}
		s.decideMissed(tick, now)
	}
	return changed
}

// over reports whether the schedule has had all its runs, with those that are about to come.
func (s *stored) over() bool {
	if s.def.Runs == 0 {
		return false
	}
	n := s.Runs
	for _, r := range slices.Concat(s.Intents, s.Waiting) {
		if r.Kind == Scheduled {
			n++
		}
	}
	return n >= s.def.Runs
}

// decideMissed decides a tick that was missed, and perhaps more of those after it.
func (s *stored) decideMissed(tick, now int64) {
	oldest := now - s.window()
	// All ticks up to certain are missed. Of those after it, each must be looked at, and they are few.
	certain := now - maxGrace - s.tt.jitter
	switch {
	case tick < oldest:
		last, ok := s.tt.latest(tick, min(oldest-1, certain))
		if !ok {
			last = tick
		}
		s.miss(tick, last, now, "older than the window for missed ticks")
	case s.def.Missed == MissedAll:
		s.Last = tick
		s.decide(s.run(Scheduled, tick, now))
	default:
		last := tick
		if later, ok := s.tt.latest(tick, certain); ok {
			last = later
		}
		for next, ok := s.tt.after(last); ok && now-s.tt.due(next) > s.tt.grace(next); next, ok = s.tt.after(next) {
			last = next
		}
		if s.def.Missed == MissedSkip {
			s.miss(tick, last, now, "no process was there in time")
			return
		}
		if before, ok := s.tt.latest(tick-1, last-1); ok {
			s.miss(tick, before, now, "a later tick runs for it")
		}
		s.Last = last
		s.decide(s.run(Scheduled, last, now))
	}
}

// window returns how old a missed tick may be, in milliseconds.
func (s *stored) window() int64 {
	if s.def.Window > 0 {
		return s.def.Window.Milliseconds()
	}
	return DefaultWindow.Milliseconds()
}

// miss leaves out the ticks from first to last.
func (s *stored) miss(first, last, now int64, why string) {
	r := run{Nominal: first, At: now, Result: ResultMissed, Why: why}
	if last > first {
		r.Until = last
	}
	s.Last = last
	s.note(r)
}

// decide decides a tick that may run, by the policy for overlaps.
func (s *stored) decide(r run) {
	skip := func(r run, why string) {
		r.Result, r.Why = ResultSkipped, why
		s.note(r)
	}
	switch {
	case s.free():
		s.Intents = append(s.Intents, r)
	case s.def.Overlap == OverlapSkip:
		skip(r, "an earlier run has not ended")
	case s.def.Overlap == OverlapQueueOne && len(s.Waiting) > 0:
		skip(r, "another tick waits already")
	case s.def.Overlap == OverlapQueueAll && len(s.Waiting) >= MaxWaiting:
		skip(r, fmt.Sprintf("%d ticks wait already", MaxWaiting))
	case s.def.Overlap == OverlapCancel:
		for i := range s.Open {
			s.Open[i].Stop = true
		}
		for _, older := range slices.Concat(s.Intents, s.Waiting) {
			skip(older, "a later tick runs for it")
		}
		s.Intents = nil // they were decided just now, and are not stored
		if s.Waiting = []run{r}; len(s.Open) == 0 {
			s.Intents, s.Waiting = s.Waiting, nil
		}
	default:
		s.Waiting = append(s.Waiting, r)
	}
}

// free reports whether a tick may run at once.
func (s *stored) free() bool {
	return s.def.Overlap == OverlapAllow || len(s.Open)+len(s.Intents)+len(s.Waiting) == 0
}

// startWaiting lets ticks run that have waited for the end of a run, and ticks of a backfill. While the schedule is paused, only
// triggered ones run.
func (s *stored) startWaiting(now int64) (changed bool) {
	allow := s.def.Overlap == OverlapAllow
	if !allow && len(s.Open)+len(s.Intents) > 0 {
		return false
	}
	for {
		at := slices.IndexFunc(s.Waiting, s.mayStart)
		if at < 0 {
			break
		}
		s.Intents = append(s.Intents, s.Waiting[at])
		s.Waiting, changed = slices.Delete(s.Waiting, at, at+1), true
		if !allow { // else they wait since the policy was another one
			return true
		}
	}
	for s.Paused == nil && len(s.Backfill) > 0 && len(s.Intents) < mostDecided && (allow || s.free()) {
		b := &s.Backfill[0]
		tick, ok := s.tt.after(b.Next - 1)
		changed = true
		if !ok || tick >= b.To {
			s.Backfill = slices.Delete(s.Backfill, 0, 1)
			continue
		}
		b.Next = tick + 1
		s.Intents = append(s.Intents, s.run(Backfilled, tick, now))
	}
	return changed
}

// submitted takes the results of submitting the intents: an error for each, nil for those that are stored.
func (s *stored) submitted(errs []error) {
	for i, r := range s.Intents {
		if errs[i] != nil {
			r.Result, r.Why = ResultRefused, cut.To(errs[i].Error(), 300)
			s.note(r)
			continue
		}
		if r.Kind == Scheduled {
			s.Runs++
		}
		s.Open = append(s.Open, r)
	}
	s.Intents = nil
	for s.def.Overlap == OverlapAllow && len(s.Open) > MaxOpen {
		s.note(s.Open[0]) // its end is not noticed any more
		s.Open = slices.Delete(s.Open, 0, 1)
	}
}

// refuseIntents notes that the intents were not submitted.
func (s *stored) refuseIntents(why string) {
	for _, r := range s.Intents {
		r.Result, r.Why = ResultRefused, why
		s.note(r)
	}
	s.Intents = nil
}

// wake returns the next time at which something is to be decided because of the time, and whether there is one.
func (s *stored) wake() (at int64, ok bool) {
	if s.Paused != nil || s.over() {
		return 0, false
	}
	tick, ok := s.tt.after(s.Last)
	return s.tt.due(tick), ok
}

// awaited reports whether a tick is to run as soon as no run is open.
func (s *stored) awaited() bool {
	return s.Paused == nil && len(s.Waiting)+len(s.Backfill) > 0 || slices.ContainsFunc(s.Waiting, s.mayStart)
}

// mayStart reports whether a tick that waits may start when no run is open. While the schedule is paused, only a triggered one may.
func (s *stored) mayStart(r run) bool { return s.Paused == nil || r.Kind == Triggered }
