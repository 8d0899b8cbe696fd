package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tell returns a history in words, one line for each event, in the order of time.
func Tell(events []Event) string {
	return tell(events, func(Event) bool { return true })
}

// tell is Tell for the events that are wanted.
func tell(events []Event, wanted func(Event) bool) string {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	var b strings.Builder
	for _, e := range events {
		if wanted(e) {
			fmt.Fprintf(&b, "%11.6fs  %s\n", time.Duration(e.At-events[0].At).Seconds(), e)
		}
	}
	return b.String()
}

// String returns the event in words.
func (e Event) String() string {
	switch e.Kind {
	case Hit:
		s := fmt.Sprintf("%s: %s", e.Target, e.Fault)
		if e.Value != "" {
			s += ", " + e.Value
		}
		if d := time.Duration(e.Until - e.At); d > 0 {
			s += fmt.Sprintf(", for %v", d)
		}
		return "!! " + s
	case Send:
		s := fmt.Sprintf("%s sends %s%s", e.Proc, e.Key, e.Flow)
		if e.Alone != "" {
			s += ", alone in the limit " + e.Alone
		}
		if e.Line != "" {
			s += fmt.Sprintf(", as task %d of the sequence %s", e.Place, e.Line)
		}
		if e.Pause != "" {
			s += ", which may be paused: " + e.Pause
		}
		if e.Unique != nil {
			s += fmt.Sprintf(", with the unique key %s", e.Unique.Key)
		}
		if e.Bound != nil {
			s += fmt.Sprintf(", to the queue %s with room for %d", e.Bound.Queue, e.Bound.Most)
			if e.Bound.Waits {
				s += ", and waits for room"
			}
		}
		if e.Within > 0 {
			s += fmt.Sprintf(", with a deadline in %v", time.Duration(e.Within))
		}
		return s
	case Accepted:
		return fmt.Sprintf("%s knows that %s is stored (%s)", e.Proc, e.Key, e.ID)
	case Unknown:
		return fmt.Sprintf("%s does not know whether %s is stored: %s", e.Proc, e.Key, e.Value)
	case Refused:
		s := fmt.Sprintf("%s knows that %s is not stored: %s", e.Proc, e.Key, e.Value)
		if e.Holder != "" {
			s += fmt.Sprintf(" (%s has its key)", e.Holder)
		}
		return s
	case Paused:
		return fmt.Sprintf("%s has paused: %s", e.Proc, e.Pause)
	case Resuming:
		return fmt.Sprintf("%s resumes: %s", e.Proc, e.Pause)
	case Kill:
		return fmt.Sprintf("%s kills %s", e.Proc, e.Key)
	case Killed:
		return fmt.Sprintf("the kill of %s by %s returned: %s", e.Key, e.Proc, e.Outcome)
	case Got:
		s := fmt.Sprintf("%s sees that %s has %s %s", e.Proc, e.Key, e.Outcome, e.Value)
		if e.By != "" {
			s += fmt.Sprintf("(%s has replaced it)", e.By)
		}
		return strings.TrimSpace(s)
	case Start:
		s := fmt.Sprintf("%s starts %s, attempt %d after %d retries", e.Proc, e.Key, e.Attempt, e.Retried)
		if len(e.Up) > 0 {
			s += fmt.Sprintf(", with %v", e.Up)
		}
		return s + fmt.Sprintf(" (%s)", e.ID)
	case Replayed:
		return fmt.Sprintf("%s stores the sealed data of %s again as %s", e.Proc, e.Value, e.ID)
	case Recorded:
		return fmt.Sprintf("the broker has recorded that %s is about to start attempt %d of %s", e.Proc, e.Attempt, e.ID)
	case Ticks:
		return fmt.Sprintf("%s has stored the schedule %s, with a tick each %v", e.Proc, e.Key, time.Duration(e.Within))
	case Stopping:
		return fmt.Sprintf("%s pauses the schedule %s", e.Proc, e.Key)
	case Stopped:
		return fmt.Sprintf("%s has paused the schedule %s", e.Proc, e.Key)
	case Continue:
		return fmt.Sprintf("%s resumes the schedule %s", e.Proc, e.Key)
	case Continued:
		return fmt.Sprintf("%s has resumed the schedule %s", e.Proc, e.Key)
	case Return:
		return fmt.Sprintf("%s returns from %s, attempt %d: %s", e.Proc, e.Key, e.Attempt, e.Outcome)
	case Promise:
		return fmt.Sprintf("%s promises %s if attempt %d of %s succeeds", e.Proc, e.Key, e.Attempt, e.Parent)
	}
	return fmt.Sprintf("%s %s %s", e.Proc, e.Kind, e.Key)
}

// String lists the parts of a flow. It returns "" for a nil flow.
func (f *Flow) String() string {
	if f == nil {
		return ""
	}
	kind := "group"
	switch {
	case f.Pipe:
		kind = "pipe"
	case f.Squad:
		kind = "squad"
	}
	s := fmt.Sprintf(", a %s of %s", kind, strings.Join(f.Members, ", "))
	if f.Callback != "" {
		s += ", then " + f.Callback
	}
	if f.Finalizer != "" {
		s += ", finally " + f.Finalizer
	}
	if f.Fails {
		s += "; one member is meant to fail"
	}
	if f.Collect {
		s += " without effect on the flow"
	}
	return s
}
