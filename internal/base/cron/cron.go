// Package cron reads cron expressions and finds the moments at which they are due. Package
// schedule describes the expressions and the rule for clock changes.
package cron

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	parser "github.com/netresearch/go-cron"
)

// The expressions are parsed by a library, and only its parser is used. Its own search for the next
// moment has another rule for clock changes than the one here, which has three parts:
//
//   - A wall time that does not exist, because the clock was set forward over it, is due at the
//     first moment after the gap.
//   - A wall time that exists twice, because the clock was set back, is due once, at the first.
//   - If every hour is allowed, every moment is due whose wall time matches. So a job of every hour
//     runs in each hour that really passes.
//
// The first two parts are one: a wall time is due at the first moment at which the clock shows it or
// a later time. So the search for the next moment after t needs two things: the latest wall time that
// the clock has shown up to t, which can be later than the one at t if the clock was set back; and the
// next wall time after it that matches, which calendar arithmetic without a zone finds.
//
// Wall times are numbers here: the seconds from 1970-01-01 00:00 of the same wall clock.

// Expr is a parsed expression.
type Expr struct {
	second, minute, hour, month uint64 // bit i is set if the value i is allowed
	day, weekday                uint64
	dayRules                    []parser.DomConstraint // L, L-n, LW and nW, beside the days in day
	weekdayRules                []parser.DowConstraint // MON#2 and MON#L, beside those in weekday
	anyDay, anyWeekday          bool                   // every value is allowed
	anyHour                     bool
}

const options = parser.SecondOptional | parser.Minute | parser.Hour | parser.Dom | parser.Month | parser.Dow | parser.Descriptor | parser.Extended

// bitsOf returns the bits of the values from low to high.
func bitsOf(low, high int) uint64 { return 1<<(high+1) - 1<<low }

// Parse reads an expression of five fields (minute, hour, day of the month, month, day of the week),
// of six (with the second in front), or a word such as @daily.
func Parse(expr string) (*Expr, error) {
	text := strings.TrimSpace(expr)
	switch {
	case strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ="):
		return nil, fmt.Errorf("cron expression %q: it names a time zone; give the zone beside the expression", short(expr))
	case strings.HasPrefix(text, "@every"):
		return nil, fmt.Errorf("cron expression %q: use an interval for that", short(expr))
	case len(text) > parser.MaxSpecLength:
		return nil, fmt.Errorf("cron expression %q: it has %d bytes, the limit is %d", short(expr), len(text), parser.MaxSpecLength)
	}
	p, err := parser.TryNewParser(options)
	if err != nil {
		return nil, err
	}
	parsed, err := p.Parse(strings.ToLower(text)) // it takes the H of THU for a word of its own
	if err != nil {
		return nil, fmt.Errorf("cron expression %q: %w", short(expr), err)
	}
	s, ok := parsed.(*parser.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron expression %q: it has no fields", short(expr))
	}
	e := &Expr{
		second: s.Second & bitsOf(0, 59), minute: s.Minute & bitsOf(0, 59), hour: s.Hour & bitsOf(0, 23),
		month: s.Month & bitsOf(1, 12), day: s.Dom & bitsOf(1, 31), weekday: parser.NormalizeDOW(s.Dow) & bitsOf(0, 6),
		dayRules: distinct(s.DomConstraints), weekdayRules: distinct(s.DowConstraints),
	}
	e.anyHour = e.hour == bitsOf(0, 23)
	e.anyDay = e.day == bitsOf(1, 31)
	e.anyWeekday = e.weekday == bitsOf(0, 6)
	for _, f := range []struct {
		name  string
		empty bool
	}{
		{"seconds", e.second == 0}, {"minutes", e.minute == 0}, {"hours", e.hour == 0}, {"months", e.month == 0},
		{"days of the month", e.day == 0 && len(e.dayRules) == 0}, {"days of the week", e.weekday == 0 && len(e.weekdayRules) == 0},
	} {
		if f.empty {
			return nil, fmt.Errorf("cron expression %q: the field for %s allows no value", short(expr), f.name)
		}
	}
	// All kinds of years are among the next hundred, so what is not found there never comes.
	if _, ok := e.nextWall(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()); !ok {
		return nil, fmt.Errorf("cron expression %q: no year has such a day", short(expr))
	}
	return e, nil
}

// distinct returns the different rules of a list.
func distinct[T comparable](list []T) (out []T) {
	for _, r := range list {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// short cuts an expression for an error.
func short(expr string) string {
	if len(expr) > 80 {
		return expr[:80] + "…"
	}
	return expr
}

// searchYears is how far a search for the next day goes. Feb 29 on a given day of the week can be 40
// years away.
const searchYears = 100

// Next returns the first moment after t at which the expression is due in a zone. ok is false if
// there is none in the next hundred years.
func (e *Expr) Next(t time.Time, zone *time.Location) (next time.Time, ok bool) {
	at := t.Unix()
	span := intervalAt(at, zone)
	if e.anyHour {
		limit := at + searchYears*366*86400
		for from := at + 1; from < limit; from = span.end {
			if from >= span.end {
				span = intervalAt(from, zone)
			}
			wall, ok := e.nextWall(from + span.offset)
			if !ok {
				return time.Time{}, false
			}
			if wall-span.offset < span.end {
				return time.Unix(wall-span.offset, 0).In(zone), true
			}
		}
		return time.Time{}, false
	}
	wall, ok := e.nextWall(latestWall(at, span, zone) + 1)
	if !ok {
		return time.Time{}, false
	}
	return firstFrom(span, wall, zone), true
}

// Midnight returns the first moment of a day in a zone; of the time only the date counts. It is not midnight if the clock is
// set forward over that.
func Midnight(day time.Time, zone *time.Location) time.Time {
	wall := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.UTC).Unix()
	return firstFrom(intervalAt(wall-longestShift, zone), wall, zone)
}

// firstFrom returns the first moment at which the clock shows a wall time or a later one. It is in the interval span or later.
func firstFrom(span interval, wall int64, zone *time.Location) time.Time {
	for {
		switch {
		case wall < span.start+span.offset: // the clock was set forward over it
			return time.Unix(span.start, 0).In(zone)
		case wall-span.offset < span.end:
			return time.Unix(wall-span.offset, 0).In(zone)
		}
		span = intervalAt(span.end, zone)
	}
}

// interval is a time in which a zone keeps its offset from UTC, in unix seconds. The wall time is the
// moment plus the offset.
type interval struct{ start, end, offset int64 }

// Moments before and after all others.
const (
	past   = -1 << 60
	future = 1 << 60
)

// intervalAt returns the interval that a moment is in.
func intervalAt(at int64, zone *time.Location) interval {
	t := time.Unix(at, 0).In(zone)
	_, offset := t.Zone()
	span := interval{start: past, end: future, offset: int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		span.start = min(start.Unix(), at)
	}
	if !end.IsZero() {
		span.end = end.Unix()
	}
	if span.end <= at { // Go returns a wrong end for the last day of leap years after 2037
		span.end = at + 1
		if _, later := time.Unix(at+3600, 0).In(zone).Zone(); later == offset {
			span.end = at + 3600
		}
	}
	return span
}

// longestShift is more than any clock was ever set back or forward.
const longestShift = 2 * 86400

// latestWall returns the latest wall time that the clock has shown up to a moment. span is the
// interval of the moment.
func latestWall(at int64, span interval, zone *time.Location) int64 {
	latest := at + span.offset
	for span.start > at-longestShift {
		before := intervalAt(span.start-1, zone)
		latest = max(latest, span.start-1+before.offset)
		span = before
	}
	return latest
}

// nextWall returns the first wall time that matches, from one on.
func (e *Expr) nextWall(from int64) (wall int64, ok bool) {
	t := time.Unix(from, 0).UTC()
	year, month, day := t.Date()
	second := t.Hour()*3600 + t.Minute()*60 + t.Second()
	for last := year + searchYears; year <= last; {
		if e.month>>month&1 == 1 {
			set := e.days(year, month)
			if set>>day&1 == 1 {
				if s, ok := e.timeOfDay(second); ok {
					return time.Date(year, month, day, 0, 0, s, 0, time.UTC).Unix(), true
				}
				day++
			}
			if day = next(set, day); day < 64 {
				s, _ := e.timeOfDay(0)
				return time.Date(year, month, day, 0, 0, s, 0, time.UTC).Unix(), true
			}
		}
		if month++; month > time.December {
			year, month = year+1, time.January
		}
		day, second = 1, 0 // the first second of the next month
	}
	return 0, false
}

// days returns the days of a month that match. If both the day of the month and the day of the week are restricted, one of them
// suffices, as in every cron.
func (e *Expr) days(year int, month time.Month) (set uint64) {
	days := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	first := int(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday())
	byDay, byWeekday := e.day, uint64(0)
	for _, r := range e.dayRules {
		byDay |= 1 << dayOf(r, year, month, days)
	}
	for day := 1; day <= days; day++ {
		byWeekday |= e.weekday >> ((first + day - 1) % 7) & 1 << day
	}
	for _, r := range e.weekdayRules {
		day := 1 + (r.Weekday-first+7)%7 // the first one
		if r.N == -1 {
			day += (days - day) / 7 * 7
		} else {
			day += (r.N - 1) * 7
		}
		byWeekday |= 1 << day
	}
	set = byDay | byWeekday
	if e.anyDay || e.anyWeekday {
		set = byDay & byWeekday
	}
	return set & bitsOf(1, days)
}

// dayOf returns the day of a month that a rule means, 0 if there is none.
func dayOf(r parser.DomConstraint, year int, month time.Month, days int) int {
	weekday := func(day int) time.Weekday { return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Weekday() }
	switch r.Type {
	case parser.DomLast:
		return days
	case parser.DomLastOffset:
		return max(days-r.N, 0)
	case parser.DomLastWeekday:
		switch weekday(days) {
		case time.Saturday:
			return days - 1
		case time.Sunday:
			return days - 2
		}
		return days
	case parser.DomNearestWeekday: // within the month
		switch {
		case r.N > days:
			return 0
		case weekday(r.N) == time.Saturday && r.N > 1:
			return r.N - 1
		case weekday(r.N) == time.Saturday:
			return 3
		case weekday(r.N) == time.Sunday && r.N < days:
			return r.N + 1
		case weekday(r.N) == time.Sunday:
			return r.N - 2
		}
		return r.N
	}
	return 0
}

// timeOfDay returns the first second of a day that matches, from one on.
func (e *Expr) timeOfDay(from int) (second int, ok bool) {
	h, m, s := from/3600, from/60%60, from%60
	hour := next(e.hour, h)
	if hour == h {
		minute := next(e.minute, m)
		if minute == m {
			if s = next(e.second, s); s < 64 {
				return h*3600 + m*60 + s, true
			}
			minute = next(e.minute, m+1)
		}
		if minute < 64 {
			return h*3600 + minute*60 + next(e.second, 0), true
		}
		hour = next(e.hour, h+1)
	}
	return hour*3600 + next(e.minute, 0)*60 + next(e.second, 0), hour < 64
}

// next returns the first bit that is set, from one on; 64 or more if there is none.
func next(set uint64, from int) int { return bits.TrailingZeros64(set>>from) + from }
