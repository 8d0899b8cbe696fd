package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/cron"
)

// When says at which moments a schedule is due. Make one with [Cron] or [Every].
type When struct {
	expr   string
	zone   string
	every  time.Duration
	anchor time.Time
}

// Cron is due at the times of a cron expression, in UTC unless [When.In] names another zone. It has five fields (minute, hour,
// day of the month, month, day of the week) or six, with the second in front, or is one of @hourly, @daily, @weekly, @monthly
// and @yearly.
//
//	| field             | values           | besides * , - /                                                    |
//	|-------------------|------------------|--------------------------------------------------------------------|
//	| second            | 0-59             |                                                                    |
//	| minute            | 0-59             |                                                                    |
//	| hour              | 0-23             |                                                                    |
//	| day of the month  | 1-31             | L the last, L-2 the third to last, LW the last weekday, 15W the weekday nearest to the 15th |
//	| month             | 1-12, JAN-DEC    |                                                                    |
//	| day of the week   | 0-7, SUN-SAT     | FRI#2 the second Friday, FRI#L the last; 0 and 7 are Sunday        |
//
// If both the day of the month and the day of the week are restricted, one of them suffices.
//
// When the clock of the zone changes, this rule holds:
//
//   - A wall time that does not exist is due at the first moment after the gap.
//   - A wall time that exists twice is due once, at the first.
//   - If every hour is allowed, as with *, the expression is due at every moment whose wall time matches: in every hour that
//     really passes, so also in both hours of a clock that is set back, and not in an hour that is left out.
func Cron(expr string) When { return When{expr: expr} }

// In sets the time zone of a cron expression: a name of the IANA database such as "Europe/Berlin". "Local" is refused, since it
// differs from machine to machine. Each process that runs the schedule needs the zone; on a machine without the database,
// import time/tzdata.
func (w When) In(zone string) When {
	w.zone = zone
	return w
}

// Every is due once in each interval, a second to ten years long, counted from an anchor. Without [When.From] the anchor is
// 1970-01-01T00:00:00Z. A day is 24 hours here; for a time of day use [Cron].
func Every(interval time.Duration) When { return When{every: interval} }

// From sets the anchor of an interval. It is the first moment at which the schedule is due.
func (w When) From(anchor time.Time) When {
	w.anchor = anchor
	return w
}

// String returns the expression with its zone, or the interval with its anchor.
func (w When) String() string {
	switch {
	case w.expr != "" && w.zone != "":
		return w.expr + " in " + w.zone
	case w.expr != "":
		return w.expr + " in UTC"
	case !w.anchor.IsZero():
		return "every " + w.every.String() + " from " + w.anchor.UTC().Format(time.RFC3339)
	}
	return "every " + w.every.String()
}

// MinInterval is the shortest interval of [Every].
const MinInterval = time.Second

// rule finds the moments of a [When].
type rule struct {
	cron   *cron.Expr
	zone   *time.Location
	every  time.Duration
	anchor time.Time
}

// compile reads the expression and the zone. The error wraps [broker.ErrInvalid].
func (w When) compile() (*rule, error) {
	bad := func(format string, args ...any) (*rule, error) {
		return nil, fmt.Errorf("%w: %s", broker.ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case w.expr == "" && w.every == 0:
		return bad("it has no When; use Cron or Every")
	case w.expr != "" && (w.every != 0 || !w.anchor.IsZero()):
		return bad("an anchor is for Every, and not for Cron")
	case w.expr == "" && w.zone != "":
		return bad("a zone is for Cron, and not for Every: an interval is the same time in every zone")
	case w.every != 0 && (w.every < MinInterval || w.every > broker.MaxDuration):
		return bad("an interval of %v, want %v to %v", w.every, MinInterval, broker.MaxDuration)
	case w.every%time.Millisecond != 0:
		return bad("an interval of %v, want whole milliseconds", w.every)
	case w.every != 0:
		anchor := w.anchor
		if anchor.IsZero() {
			anchor = time.Unix(0, 0)
		}
		return &rule{every: w.every, anchor: anchor.Truncate(time.Millisecond), zone: time.UTC}, nil
	}
	expr, err := cron.Parse(w.expr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	if w.zone == "Local" {
		return bad("the zone Local, which differs from machine to machine; name one such as Europe/Berlin")
	}
	zone, err := time.LoadLocation(w.zone) // "" is UTC
	if err != nil {
		return bad("time zone %.80q is not known here: %v; if the machine lacks the database of zones, import time/tzdata", w.zone, err)
	}
	return &rule{cron: expr, zone: zone}, nil
}

// next returns the first moment after t.
func (r *rule) next(t time.Time) (time.Time, bool) {
	if r.cron != nil {
		return r.cron.Next(t, r.zone)
	}
	if t.Before(r.anchor) {
		return r.anchor, true
	}
	// Sub saturates after 292 years, so the difference is counted in milliseconds.
	every := r.every.Milliseconds()
	n := (t.UnixMilli()-r.anchor.UnixMilli())/every + 1
	return time.UnixMilli(r.anchor.UnixMilli() + n*every).UTC(), true
}

// Exclusion is a time in which a schedule is not due. Make one with [Day] or [Between].
type Exclusion struct {
	day      string
	from, to time.Time
}

// Day excludes a day, given as 2006-01-02, in the zone of the schedule. That is UTC for an interval.
func Day(day string) Exclusion { return Exclusion{day: day} }

// Between excludes the moments from a moment on, up to another one, which is not excluded itself.
func Between(from, to time.Time) Exclusion { return Exclusion{from: from, to: to} }

// span is a time that is excluded, in unix milliseconds: from it on, and before its end.
type span struct{ from, to int64 }

// spans returns the exclusions as sorted spans that do not touch.
func spans(list []Exclusion, zone *time.Location) ([]span, error) {
	var all []span
	for _, x := range list {
		if x.day != "" {
			day, err := time.Parse(time.DateOnly, x.day)
			if err != nil {
				return nil, fmt.Errorf("%w: day %.40q is excluded; want one such as 2006-01-02", broker.ErrInvalid, x.day)
			}
			x.from, x.to = cron.Midnight(day, zone), cron.Midnight(day.AddDate(0, 0, 1), zone)
			if !x.from.Before(x.to) { // a day that the zone has left out
				continue
			}
		}
		if x.from.UnixMilli() >= x.to.UnixMilli() {
			return nil, fmt.Errorf("%w: the time from %v to %v is excluded, and is empty", broker.ErrInvalid, x.from, x.to)
		}
		all = append(all, span{x.from.UnixMilli(), x.to.UnixMilli()})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out, nil
}
