package cron

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adhocore/gronx"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func mustParse(t testing.TB, expr string) *Expr {
	t.Helper()
	e, err := Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Each case has all moments between two wall times of the zone at which the expression is due.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, zone, expr, from, to, want string }{
		{"a time in the gap", "Europe/Berlin", "0 30 2 * * *", "2025-03-29", "2025-04-01",
			"2025-03-29T02:30:00+01:00 2025-03-30T03:00:00+02:00 2025-03-31T02:30:00+02:00"},
		{"several times in the gap are one", "Europe/Berlin", "0 */20 2 * * *", "2025-03-30", "2025-03-31",
			"2025-03-30T03:00:00+02:00"},
		{"the end of the gap itself", "Europe/Berlin", "0 0 2,3 * * *", "2025-03-30", "2025-03-31",
			"2025-03-30T03:00:00+02:00"},
		{"a time that exists twice", "Europe/Berlin", "0 30 2 * * *", "2025-10-26", "2025-10-27",
			"2025-10-26T02:30:00+02:00"},
		{"every minute of an hour that exists twice", "Europe/Berlin", "0 0,59 2,3 * * *", "2025-10-26", "2025-10-27",
			"2025-10-26T02:00:00+02:00 2025-10-26T02:59:00+02:00 2025-10-26T03:00:00+01:00 2025-10-26T03:59:00+01:00"},
		{"every hour, without the one in the gap", "Europe/Berlin", "0 30 * * * *", "2025-03-30T00:00", "2025-03-30T05:00",
			"2025-03-30T00:30:00+01:00 2025-03-30T01:30:00+01:00 2025-03-30T03:30:00+02:00 2025-03-30T04:30:00+02:00"},
		{"every hour, also the repeated one", "Europe/Berlin", "0 30 * * * *", "2025-10-26T01:00", "2025-10-26T04:00",
			"2025-10-26T01:30:00+02:00 2025-10-26T02:30:00+02:00 2025-10-26T02:30:00+01:00 2025-10-26T03:30:00+01:00"},
		{"all hours in another spelling", "Europe/Berlin", "0 30 0-11,12-23 * * *", "2025-10-26T01:45", "2025-10-26T03:15",
			"2025-10-26T02:30:00+02:00 2025-10-26T02:30:00+01:00"},
		{"every second hour is no wildcard", "Europe/Berlin", "0 30 */2 * * *", "2025-10-26T00:00", "2025-10-26T05:00",
			"2025-10-26T00:30:00+02:00 2025-10-26T02:30:00+02:00 2025-10-26T04:30:00+01:00"},
		{"half an hour forward", "Australia/Lord_Howe", "0 15 2 * * *", "2025-10-05", "2025-10-06",
			"2025-10-05T02:30:00+11:00"},
		{"half an hour back", "Australia/Lord_Howe", "0 45 1 * * *", "2025-04-06", "2025-04-07",
			"2025-04-06T01:45:00+11:00"},
		{"every hour, half an hour forward", "Australia/Lord_Howe", "0 15 * * * *", "2025-10-05T01:00", "2025-10-05T04:00",
			"2025-10-05T01:15:00+10:30 2025-10-05T03:15:00+11:00"},
		{"every hour, half an hour back", "Australia/Lord_Howe", "0 45 * * * *", "2025-04-06T01:00", "2025-04-06T03:00",
			"2025-04-06T01:45:00+11:00 2025-04-06T01:45:00+10:30 2025-04-06T02:45:00+10:30"},
		{"a day without a midnight", "America/Sao_Paulo", "0 0 0 * * *", "2018-11-03", "2018-11-06",
			"2018-11-03T00:00:00-03:00 2018-11-04T01:00:00-02:00 2018-11-05T00:00:00-02:00"},
		{"a day with two midnights", "America/Sao_Paulo", "0 0 0 * * *", "2018-02-17", "2018-02-19",
			"2018-02-17T00:00:00-02:00 2018-02-18T00:00:00-03:00"},
		{"the last hour of a day exists twice", "America/Sao_Paulo", "0 30 23 * * *", "2018-02-17", "2018-02-19",
			"2018-02-17T23:30:00-02:00 2018-02-18T23:30:00-03:00"},
		{"Beirut, by words", "Asia/Beirut", "@daily", "2024-03-30", "2024-04-01",
			"2024-03-30T00:00:00+02:00 2024-03-31T01:00:00+03:00"},
		{"a day that does not exist", "Pacific/Apia", "0 0 12 * * *", "2011-12-29", "2012-01-01",
			"2011-12-29T12:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T12:00:00+14:00"},
		{"a change of the offset without a change of the season", "Asia/Pyongyang", "0 15 0 * * *", "2015-08-14", "2015-08-16",
			"2015-08-14T00:15:00+09:00 2015-08-15T00:15:00+08:30"},
		{"a gap at the end of a Friday", "Asia/Pyongyang", "0 45 23 * * *", "2018-05-04", "2018-05-06",
			"2018-05-05T00:00:00+09:00 2018-05-05T23:45:00+09:00"},
		{"the last days of a leap year, for which the zone has only a rule", "Europe/Berlin", "0 0 12 29-31 12 *", "2048-12-29", "2049-12-31",
			"2048-12-29T12:00:00+01:00 2048-12-30T12:00:00+01:00 2048-12-31T12:00:00+01:00 2049-12-29T12:00:00+01:00 2049-12-30T12:00:00+01:00"},
		{"every hour then", "America/New_York", "0 0 * 31 12 *", "2048-12-31T22:00", "2049-12-31T01:30",
			"2048-12-31T22:00:00-05:00 2048-12-31T23:00:00-05:00 2049-12-31T00:00:00-05:00 2049-12-31T01:00:00-05:00"},
		{"no clock change", "UTC", "0 0 0 1 1,7 *", "2024-12-31", "2025-12-31",
			"2025-01-01T00:00:00Z 2025-07-01T00:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			z := zone(t, test.zone)
			at := func(s string) time.Time {
				for _, layout := range []string{"2006-01-02T15:04", "2006-01-02"} {
					if at, err := time.ParseInLocation(layout, s, z); err == nil {
						return at
					}
				}
				t.Fatalf("no time: %s", s)
				return time.Time{}
			}
			e := mustParse(t, test.expr)
			var got []string
			for at, end := at(test.from).Add(-time.Second), at(test.to); ; {
				next, ok := e.Next(at, z)
				if !ok || !next.Before(end) {
					break
				}
				got, at = append(got, next.Format(time.RFC3339)), next
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("due at\n%s, want\n%s", s, test.want)
			}
		})
	}
}

// The days on which an expression is due, from 2024-01-01 on.
func TestDays(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"0 0 0 L * *":          "2024-01-31 2024-02-29 2024-03-31 2024-04-30",
		"0 0 0 L-1 * *":        "2024-01-30 2024-02-28 2024-03-30 2024-04-29",
		"0 0 0 LW * *":         "2024-01-31 2024-02-29 2024-03-29 2024-04-30",
		"0 0 0 1W * *":         "2024-01-01 2024-02-01 2024-03-01 2024-04-01",
		"0 0 0 1W 6,9 *":       "2024-06-03 2024-09-02 2025-06-02 2025-09-01",
		"0 0 0 30W 6 *":        "2024-06-28 2025-06-30 2026-06-30 2027-06-30",
		"0 0 0 31W * *":        "2024-01-31 2024-03-29 2024-05-31 2024-07-31",
		"0 0 0 * * FRI#2":      "2024-01-12 2024-02-09 2024-03-08 2024-04-12",
		"0 0 0 * * MON#L":      "2024-01-29 2024-02-26 2024-03-25 2024-04-29",
		"0 0 0 * * THU#5":      "2024-02-29 2024-05-30 2024-08-29 2024-10-31",
		"0 0 0 13 * FRI":       "2024-01-05 2024-01-12 2024-01-13 2024-01-19",
		"0 0 0 ? * 7":          "2024-01-07 2024-01-14 2024-01-21 2024-01-28",
		"0 0 0 * * FRI-MON":    "2024-01-01 2024-01-05 2024-01-06 2024-01-07",
		"0 0 0 1-31 * MON":     "2024-01-01 2024-01-08 2024-01-15 2024-01-22",
		"0 0 0 29 FEB *":       "2024-02-29 2028-02-29 2032-02-29 2036-02-29",
		"0 0 0 31 * *":         "2024-01-31 2024-03-31 2024-05-31 2024-07-31",
		"0 0 1 1 *":            "2024-01-01 2025-01-01 2026-01-01 2027-01-01", // five fields
		"@yearly":              "2024-01-01 2025-01-01 2026-01-01 2027-01-01",
		"@weekly":              "2024-01-07 2024-01-14 2024-01-21 2024-01-28",
		"  0 0 0 */10 JAN-3 ?": "2024-01-01 2024-01-11 2024-01-21 2024-01-31",
	} {
		e := mustParse(t, expr)
		var got []string
		at := time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC)
		for range 4 {
			at, _ = e.Next(at, time.UTC)
			got = append(got, at.Format(time.DateOnly))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q is due on %s, want %s", expr, s, want)
		}
	}
}

func TestBadExpressions(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{
		"", " ", "* * * *", "* * * * * * *", "60 * * * * *", "* 60 * * * *", "* * 24 * * *", "* * * 0 * *", "* * * 32 * *", "* * * * 13 *", "* * * * * 8",
		"x * * * * *", ", * * * * *", "* * * , * *", "* * * * * ,", "*/0 * * * * *", "1-2-3 * * * * *", "0 0 0 30 2 *", "0 0 0 31 4,6,9,11 *", "0 0 0 L-31 * *",
		"@every 5m", "@often", "TZ=UTC * * * * *", "CRON_TZ=Europe/Berlin 0 0 * * *", "H * * * *", strings.Repeat("1,", 1000) + "1 * * * * *", "0 0 0 30W 2 *",
	} {
		if e, err := Parse(expr); err == nil {
			t.Errorf("%q was accepted as %+v", expr, e)
		} else if len(err.Error()) > 400 || !strings.Contains(err.Error(), "cron expression") {
			t.Errorf("%q: the error is %v", expr, err)
		}
	}
}

// naive is an expression as a list of allowed values for each field.
type naive [6][]int

func (n naive) String() string {
	var fields []string
	for _, values := range n {
		if values == nil {
			fields = append(fields, "*")
			continue
		}
		var list []string
		for _, v := range values {
			list = append(list, fmt.Sprint(v))
		}
		fields = append(fields, strings.Join(list, ","))
	}
	return strings.Join(fields, " ")
}

// matches reports whether a wall time, given as a time in UTC, matches.
func (n naive) matches(w time.Time) bool {
	in := func(i, v int) bool { return n[i] == nil || slices.Contains(n[i], v) }
	day := in(3, w.Day()) && in(5, int(w.Weekday()))
	if n[3] != nil && n[5] != nil {
		day = in(3, w.Day()) || in(5, int(w.Weekday()))
	}
	return day && in(0, w.Second()) && in(1, w.Minute()) && in(2, w.Hour()) && in(4, int(w.Month()))
}

// random returns an expression whose values are mostly near those of a wall time.
func random(rng *rand.Rand, near time.Time) (n naive) {
	low, size := [6]int{0, 0, 0, 1, 1, 0}, [6]int{60, 60, 24, 31, 12, 7}
	center := [6]int{near.Second(), near.Minute(), near.Hour(), near.Day(), int(near.Month()), int(near.Weekday())}
	for i := range n {
		if i >= 2 && rng.IntN(3) == 0 || i > 3 && rng.IntN(3) > 0 {
			continue
		}
		for range 1 + rng.IntN(3) {
			v := low[i] + rng.IntN(size[i])
			if i >= 2 && rng.IntN(3) > 0 {
				v = low[i] + (center[i]-low[i]+rng.IntN(5)-2+size[i])%size[i]
			}
			if !slices.Contains(n[i], v) {
				n[i] = append(n[i], v)
			}
		}
		if len(n[i]) == size[i] {
			n[i] = nil
		}
	}
	return n
}

// due finds all moments in [from, to) at which an expression is due, second by second, by the words of
// the rule. Nothing that begins before from or ends after to may change the clock within a day of it.
func (n naive) due(from, to int64, z *time.Location) (due []int64) {
	const margin = 26 * 3600
	first := make(map[int64]int64) // wall time -> the first moment with it
	wall := func(at int64) int64 {
		_, offset := time.Unix(at, 0).In(z).Zone()
		return at + int64(offset)
	}
	low, high := int64(future), int64(past)
	for at := from - margin; at < to+margin; at++ {
		w := wall(at)
		if _, known := first[w]; !known {
			first[w] = at
		}
		low, high = min(low, w), max(high, w)
	}
	add := func(at int64) {
		if at >= from && at < to && !slices.Contains(due, at) {
			due = append(due, at)
		}
	}
	if n[2] == nil { // every hour: each real moment with a matching wall time
		for at := from; at < to; at++ {
			if n.matches(time.Unix(wall(at), 0).UTC()) {
				add(at)
			}
		}
		return due
	}
	for w := low; w <= high; w++ {
		if !n.matches(time.Unix(w, 0).UTC()) {
			continue
		}
		at, exists := first[w]
		for later := w; !exists && later <= high; later++ { // the first moment after the gap
			at, exists = first[later]
		}
		if exists {
			add(at)
		}
	}
	slices.Sort(due)
	return due
}

// changes returns the moments at which the clock of a zone changes.
func changes(z *time.Location, from, to time.Time) (all []time.Time) {
	for at := from; ; {
		_, end := at.In(z).ZoneBounds()
		if end.IsZero() || end.After(to) {
			return all
		}
		_, before := end.Add(-time.Second).In(z).Zone()
		if _, after := end.In(z).Zone(); before != after {
			all = append(all, end)
		}
		at = end
	}
}

var zones = []string{
	"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "America/Havana", "America/Asuncion",
	"Pacific/Apia", "Pacific/Kwajalein", "Asia/Kathmandu", "Africa/Casablanca", "Antarctica/Troll", "Asia/Pyongyang", "Europe/Dublin", "America/St_Johns",
	"Pacific/Chatham", "Asia/Gaza", "America/Caracas", "UTC",
}

// checkAround compares Next with the moments that a search second by second finds, in a span of time.
func checkAround(t testing.TB, n naive, z *time.Location, from, to int64) {
	t.Helper()
	want := n.due(from, to, z)
	e, err := Parse(n.String())
	if err != nil {
		if len(want) > 0 {
			t.Fatalf("%q: %v", n, err)
		}
		return
	}
	var got []int64
	for at := from - 1; ; {
		next, ok := e.Next(time.Unix(at, 999_999_999), z)
		if ok && next.Unix() <= at {
			t.Fatalf("%q in %s: Next of %d returned %d", n, z, at, next.Unix())
		}
		if !ok || next.Unix() >= to {
			break
		}
		at = next.Unix()
		got = append(got, at)
	}
	if !slices.Equal(got, want) {
		show := func(list []int64) (s []string) {
			for _, at := range list {
				s = append(s, time.Unix(at, 0).In(z).Format(time.RFC3339))
			}
			return s
		}
		t.Fatalf("%q in %s is due at\n%q, want\n%q", n, z, show(got), show(want))
	}
}

// Around clock changes of many zones, random expressions are due exactly when a search second by second
// says so.
func TestAroundClockChanges(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone(t, name)
			all := changes(z, time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC))
			if len(all) == 0 {
				all = []time.Time{time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)}
			}
			rng := rand.New(rand.NewPCG(1, uint64(len(all))))
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for i, change := range all[:min(len(all), 4)] {
				n := random(rng, change.In(z).Add(time.Duration(rng.IntN(5)-2)*time.Hour))
				if i == 0 {
					n[2] = []int{change.Add(-time.Minute).In(z).Hour()} // an hour beside the change
				}
				checkAround(t, n, z, change.Unix()-7200, change.Unix()+7200)
			}
		})
	}
}

func FuzzAroundClockChanges(f *testing.F) {
	for i := range uint64(40) {
		f.Add(i, uint8(i), uint16(i*7))
	}
	f.Fuzz(func(t *testing.T, seed uint64, zoneIndex uint8, change uint16) {
		z := zone(t, zones[int(zoneIndex)%len(zones)])
		all := changes(z, time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC))
		at := time.Unix(1700000000, 0)
		if len(all) > 0 {
			at = all[int(change)%len(all)]
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		checkAround(t, random(rng, at.In(z)), z, at.Unix()-5400, at.Unix()+5400)
	})
}

// Any text is refused or gives an expression whose moments grow.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", "0 0 0 L * MON#L", "5/15 1-3,7 */2 1W JAN-MAR ?", "@daily", "0 0 0 29 2 *", "59 59 23 31 12 7", "0 0 22-2 * * *"} {
		f.Add(s, int64(1700000000))
	}
	f.Fuzz(func(t *testing.T, expr string, at int64) {
		e, err := Parse(expr)
		if err != nil {
			return
		}
		at %= 1 << 40
		z := zone(t, "Australia/Lord_Howe")
		from := time.Unix(at, 0)
		next, ok := e.Next(from, z)
		if !ok {
			t.Fatalf("%q is never due after %v", expr, from)
		}
		if !next.After(from) {
			t.Fatalf("%q: Next of %v is %v", expr, from, next)
		}
		if again, _ := e.Next(next.Add(-time.Second), z); !again.Equal(next) {
			t.Fatalf("%q: Next of %v is %v, but that of the second before is %v", expr, from, next, again)
		}
	})
}

// Without clock changes the moments are those of another library.
func TestAgainstGronx(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		from := time.Unix(1600000000+rng.Int64N(400_000_000), 0).UTC()
		n := random(rng, from)
		e, err := Parse(n.String())
		if err != nil {
			continue
		}
		got, ok := e.Next(from, time.UTC)
		want, err := gronx.NextTickAfter(n.String(), from, false)
		if err != nil || !ok {
			continue // it looks only a few years ahead
		}
		if !got.Equal(want) {
			t.Errorf("%q after %v is due at %v, want %v", n, from, got, want)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	z := zone(b, "Europe/Berlin")
	for _, expr := range []string{"* * * * * *", "0 0 3 * * *", "0 0 0 29 2 *"} {
		b.Run(strings.ReplaceAll(expr, " ", "_"), func(b *testing.B) {
			e := mustParse(b, expr)
			at := time.Unix(1700000000, 0)
			for b.Loop() {
				at, _ = e.Next(at, z)
				if at.Year() > 2100 {
					at = time.Unix(1700000000, 0)
				}
			}
		})
	}
}

func TestMidnight(t *testing.T) {
	t.Parallel()
	for _, test := range [][3]string{
		{"Europe/Berlin", "2025-03-30", "2025-03-30T00:00:00+01:00"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"},
		{"America/Sao_Paulo", "2018-02-18", "2018-02-18T00:00:00-03:00"},
		{"America/Havana", "2025-11-02", "2025-11-02T00:00:00-04:00"}, // the first of two
		{"Pacific/Apia", "2011-12-30", "2011-12-31T00:00:00+14:00"},
		{"Pacific/Kiritimati", "2025-01-01", "2025-01-01T00:00:00+14:00"},
		{"UTC", "2025-01-01", "2025-01-01T00:00:00Z"},
	} {
		day, err := time.Parse(time.DateOnly, test[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := Midnight(day, zone(t, test[0])).Format(time.RFC3339); got != test[2] {
			t.Errorf("%s begins in %s at %s, want %s", test[1], test[0], got, test[2])
		}
	}
}
