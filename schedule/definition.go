package schedule

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Definition says what a schedule runs, and when. Name, When and Call must be set. The zero values of the others are their
// defaults.
type Definition struct { //nolint:recvcheck // callers pass definitions by value
	Name string     // 1 to 128 of A-Z a-z 0-9 _ . and -
	When When       // see Cron and Every
	Call task.Bound // a call of a single task, such as ReportTask.Bind(args); the options Delay, ETA, Spread, Deadline and Inherit are refused

	Start time.Time // no tick before it; default: from the moment at which the schedule is stored on
	End   time.Time // no tick after it; default: none
	Runs  int       // how many ticks run, then it ends; default 0: any number. Trigger and Backfill do not count

	Except []Exclusion   // times without ticks; see Day and Between
	Jitter time.Duration // each tick is late by a part of this time that its schedule and nominal time decide; at most 24 hours; default none

	Overlap Overlap       // what happens with a tick while an earlier run has not ended; default OverlapAllow
	Missed  Missed        // what happens with ticks that were missed; default MissedOnce
	Window  time.Duration // how old a missed tick may be; older ones are left out; default DefaultWindow

	// PauseOnFailure pauses the schedule when one of its tasks ends as failed or expired. Retries come first. It looks at the
	// last MaxOpen runs.
	PauseOnFailure bool
}

// Overlap says what happens with a tick while a run of the schedule has not ended: while its task waits, runs or is retried.
type Overlap uint8

// The policies for overlaps.
const (
	OverlapAllow    Overlap = iota // it runs beside the other one
	OverlapSkip                    // it is left out
	OverlapQueueOne                // it runs after the other one; while a tick waits for that, further ones are left out
	OverlapQueueAll                // it runs after the other one and after all that wait, up to MaxWaiting of them
	OverlapCancel                  // the other one is killed, and it runs as soon as that has ended; an older tick that waits for this is left out
)

// Missed says what happens with ticks that no process has run in time. A tick is in time until the next one is due, for 5
// seconds at least and for a minute at most.
type Missed uint8

// The policies for missed ticks.
const (
	MissedOnce Missed = iota // the latest of them runs
	MissedSkip               // none of them runs
	MissedAll                // each of them runs, in their order
)

// Sizes and times of schedules.
const (
	DefaultWindow = 24 * time.Hour
	MaxJitter     = 24 * time.Hour
	MaxWaiting    = 500      // ticks that wait for the end of a run
	MaxOpen       = 50       // runs of which a schedule with OverlapAllow notices the end
	MaxHistory    = 50       // entries of History
	MaxArguments  = 64 << 10 // bytes of the encoded arguments of its Call
)

var (
	overlaps = [...]string{"allow", "skip", "queue-one", "queue-all", "cancel"}
	misseds  = [...]string{"once", "skip", "all"}
)

// String returns the policy as the directive //arbiter:schedule spells it.
func (o Overlap) String() string {
	if int(o) < len(overlaps) {
		return overlaps[o]
	}
	return fmt.Sprintf("Overlap(%d)", uint8(o))
}

// String returns the policy as the directive //arbiter:schedule spells it.
func (m Missed) String() string {
	if int(m) < len(misseds) {
		return misseds[m]
	}
	return fmt.Sprintf("Missed(%d)", uint8(m))
}

// Check reports whether the definition is valid, as far as that is known without a broker. The error wraps [task.ErrInvalid],
// and names the schedule and the remedy.
func (d Definition) Check() error {
	_, err := newTimetable(&d)
	return err
}

// Next returns the next n ticks after a time, or fewer if the schedule ends. They are nominal times: jitter is not in them.
func (d Definition) Next(after time.Time, n int) ([]time.Time, error) {
	tt, err := newTimetable(&d)
	if err != nil {
		return nil, err
	}
	if d.Runs > 0 {
		n = min(n, d.Runs)
	}
	return tt.list(after, n), nil
}

// checkCall checks the call and its options.
func (d *Definition) checkCall() error {
	if d.Call == nil || d.Call.Request() == nil {
		return errors.New("it has no Call; set it to a call such as ReportTask.Bind(args)")
	}
	req := d.Call.Request()
	if err := req.Check(); err != nil {
		return err
	}
	s := req.Settings()
	switch {
	case req.Flow() != nil:
		return errors.New("its Call is a pipe or group; schedule a task that sends it")
	case req.Upstream() != "":
		return errors.New("its Call waits for the result of another one")
	case s.Delay != 0 || !s.ETA.IsZero():
		return errors.New("its Call has the option Delay or ETA; set Jitter, or another When")
	case s.Spread != 0:
		return errors.New("its Call has the option Spread, which has no effect here; set Jitter")
	case !s.Deadline.IsZero():
		return errors.New("its Call has the option Deadline; use Within, which counts from each tick")
	case s.Inherit:
		return errors.New("its Call has the option Inherit, which has no effect here")
	}
	return nil
}

// timetable knows the ticks of a definition.
type timetable struct {
	*rule
	name       string
	start, end int64 // unix milliseconds; end is the last moment of a tick
	except     []span
	jitter     int64 // in milliseconds
}

const forever = 1 << 60

// newTimetable checks everything of a definition but its call against a broker.
func newTimetable(d *Definition) (*timetable, error) {
	if err := broker.CheckName("schedule", d.Name); err != nil {
		return nil, err
	}
	tt, err := d.timetable()
	if err != nil {
		if !errors.Is(err, broker.ErrInvalid) {
			err = fmt.Errorf("%w: %w", broker.ErrInvalid, err)
		}
		return nil, fmt.Errorf("schedule %s: %w", d.Name, err)
	}
	return tt, nil
}

func (d *Definition) timetable() (*timetable, error) {
	if err := d.checkCall(); err != nil {
		return nil, err
	}
	r, err := d.When.compile()
	if err != nil {
		return nil, err
	}
	except, err := spans(d.Except, r.zone)
	if err != nil {
		return nil, err
	}
	tt := &timetable{rule: r, name: d.Name, start: -forever, end: forever, except: except, jitter: d.Jitter.Milliseconds()}
	if !d.Start.IsZero() {
		tt.start = d.Start.UnixMilli()
		if d.Start.After(time.UnixMilli(tt.start)) {
			tt.start++
		}
	}
	if !d.End.IsZero() {
		tt.end = d.End.UnixMilli()
	}
	switch {
	case tt.end < tt.start:
		return nil, fmt.Errorf("its End %v is before its Start %v", d.End, d.Start)
	case d.Runs < 0:
		return nil, fmt.Errorf("%d runs, want 0 or more", d.Runs)
	case d.Jitter < 0 || d.Jitter > MaxJitter:
		return nil, fmt.Errorf("a jitter of %v, want 0 to %v", d.Jitter, MaxJitter)
	case int(d.Overlap) >= len(overlaps):
		return nil, fmt.Errorf("Overlap is %d, want one of its constants", d.Overlap)
	case int(d.Missed) >= len(misseds):
		return nil, fmt.Errorf("Missed is %d, want one of its constants", d.Missed)
	case d.Window < 0 || d.Window > broker.MaxDuration:
		return nil, fmt.Errorf("a window of %v, want 0 to %v", d.Window, broker.MaxDuration)
	}
	from := max(tt.start, 0) // of the whole future, as far as the rule looks
	if _, ok := tt.after(from - 1); !ok {
		return nil, errors.New("it has no tick: Start, End and Except leave none of its When")
	}
	return tt, nil
}

// after returns the first tick after a moment, both in unix milliseconds.
func (tt *timetable) after(t int64) (tick int64, ok bool) {
	t = max(t, tt.start-1)
	for {
		next, ok := tt.next(time.UnixMilli(t))
		if tick = next.UnixMilli(); !ok || tick > tt.end {
			return 0, false
		}
		if t, ok = tt.excluded(tick); !ok {
			return tick, true
		}
	}
}

// excluded reports whether a moment is excluded, and returns the last moment of that time.
func (tt *timetable) excluded(t int64) (last int64, ok bool) {
	for _, s := range tt.except {
		if t < s.to && t >= s.from {
			return s.to - 1, true
		}
	}
	return 0, false
}

// latest returns the last tick in (from, to].
func (tt *timetable) latest(from, to int64) (tick int64, ok bool) {
	// The ticks are found forwards only, so it looks in a span before to that doubles until it has one.
	for back := int64(1000); ; back *= 2 {
		at := max(to-back, from)
		for next, is := tt.after(at); is && next <= to; next, is = tt.after(next) {
			tick, ok = next, true
		}
		if ok || at == from {
			return tick, ok
		}
	}
}

// due returns the moment at which a tick runs: its nominal time and its part of the jitter.
func (tt *timetable) due(tick int64) int64 {
	if tt.jitter == 0 {
		return tick
	}
	return tick + int64(hashOf(tt.name, tick)%uint64(tt.jitter+1))
}

// grace returns how late a tick may be to count as in time.
func (tt *timetable) grace(tick int64) int64 {
	next, ok := tt.after(tick)
	if !ok {
		return maxGrace
	}
	return min(max(next-tick, minGrace), maxGrace)
}

const minGrace, maxGrace = 5_000, 60_000

// list returns the next n ticks after a time.
func (tt *timetable) list(after time.Time, n int) []time.Time {
	var out []time.Time
	at := after.UnixMilli()
	for len(out) < n {
		tick, ok := tt.after(at)
		if !ok {
			break
		}
		out, at = append(out, time.UnixMilli(tick).In(tt.zone)), tick
	}
	return out
}
