package schedule

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// begin is a moment at the beginning of an hour in UTC.
var begin = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC).UnixMilli()

// fresh returns a schedule that was stored at begin. It is due each second unless change says otherwise.
func fresh(t testing.TB, change func(d *Definition)) *stored {
	t.Helper()
	d := &Definition{Name: "s", When: Cron("* * * * * *"), Call: task.Named("job", task.Args())}
	if change != nil {
		change(d)
	}
	tt, err := newTimetable(d)
	if err != nil {
		t.Fatal(err)
	}
	return &stored{name: "s", record: record{Born: begin, Last: begin}, def: d, tt: tt, task: &broker.Task{Name: "job", Queue: "default"}}
}

// at returns the moment so many seconds after begin.
func at(seconds int64) int64 { return begin + seconds*1000 }

// submit submits all intents.
func (s *stored) submit() []run {
	intents := slices.Clone(s.Intents)
	s.submitted(make([]error, len(intents)))
	return intents
}

// end ends all open runs with a state.
func (s *stored) end(state broker.State, now int64) {
	states := make(map[broker.ID]broker.State)
	for _, r := range s.Open {
		states[r.ID] = state
	}
	s.ended(states, now)
}

// show returns ticks as their seconds after begin.
func show(runs []run) string {
	var out []string
	for _, r := range runs {
		text := fmt.Sprint((r.Nominal - begin) / 1000)
		if r.Until > 0 {
			text += fmt.Sprint("-", (r.Until-begin)/1000)
		}
		switch r.Kind {
		case Triggered:
			text = "t" + text
		case Backfilled:
			text = "b" + text
		}
		if r.Result != ResultSubmitted {
			text += ":" + r.Result.String()
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func (s *stored) want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestTicksInTime(t *testing.T) {
	t.Parallel()
	s := fresh(t, nil)
	if s.advance(at(0)) || s.advance(at(1)-1) {
		t.Error("a tick was decided before it was due")
	}
	for now := int64(1); now < 4; now++ {
		if !s.advance(at(now)) || s.Last != at(now) {
			t.Errorf("second %d: the last tick is %d", now, (s.Last-begin)/1000)
		}
		s.want(t, "intents", show(s.submit()), fmt.Sprint(now))
		if s.advance(at(now) + 999) {
			t.Error("a tick was decided twice")
		}
	}
	if due, ok := s.wake(); !ok || due != at(4) {
		t.Errorf("it wakes at %d, want 4", (due-begin)/1000)
	}
	s.advance(at(6)) // two more are late, and still in time
	s.want(t, "late intents", show(s.submit()), "4 5 6")
	if s.Runs != 6 || len(s.Open) != 6 {
		t.Errorf("%d runs, %d open", s.Runs, len(s.Open))
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		overlap                             Overlap
		open, waiting, skipped, after, then string // after three ticks without an end; the intents after the end of the run, and of the next
	}{
		{OverlapAllow, "1 2 3", "", "", "", ""},
		{OverlapSkip, "1", "", "2:skipped 3:skipped", "", ""},
		{OverlapQueueOne, "1", "2", "3:skipped", "2", ""},
		{OverlapQueueAll, "1", "2 3", "", "2", "3"},
		{OverlapCancel, "1", "3", "2:skipped", "3", ""},
	} {
		t.Run(test.overlap.String(), func(t *testing.T) {
			t.Parallel()
			s := fresh(t, func(d *Definition) { d.Overlap = test.overlap })
			for now := int64(1); now <= 3; now++ {
				s.advance(at(now))
				s.submit()
			}
			s.want(t, "open", show(s.Open), test.open)
			s.want(t, "waiting", show(s.Waiting), test.waiting)
			s.want(t, "history", show(s.history()), test.skipped)
			if stop := s.Open[0].Stop; stop != (test.overlap == OverlapCancel) {
				t.Errorf("the open run is to be killed: %v", stop)
			}
			s.ended(map[broker.ID]broker.State{s.Open[0].ID: broker.StateRunning}, at(3))
			if s.advance(at(3)) {
				t.Error("a run that goes on has changed something")
			}
			s.end(broker.StateCanceled, at(3))
			s.advance(at(3))
			s.want(t, "the next", show(s.submit()), test.after)
			s.end(broker.StateSucceeded, at(3))
			s.advance(at(3))
			s.want(t, "the one after that", show(s.submit()), test.then)
			s.end(broker.StateSucceeded, at(3))
			s.advance(at(4))
			s.want(t, "the next tick", show(s.submit()), "4")
		})
	}
}

// Several late ticks are decided in one change.
func TestOverlapOfLateTicks(t *testing.T) {
	t.Parallel()
	for overlap, want := range map[Overlap]string{
		OverlapAllow: "1 2 3|", OverlapSkip: "1|", OverlapQueueOne: "1|2", OverlapQueueAll: "1|2 3", OverlapCancel: "3|",
	} {
		s := fresh(t, func(d *Definition) { d.Overlap = overlap })
		s.advance(at(3))
		s.want(t, overlap.String(), show(s.Intents)+"|"+show(s.Waiting), want)
	}
}

func TestQueueAllIsBounded(t *testing.T) {
	t.Parallel()
	s := fresh(t, func(d *Definition) { d.Overlap = OverlapQueueAll })
	for now := int64(1); now <= MaxWaiting+10; now++ {
		s.advance(at(now))
		s.submit()
	}
	if len(s.Waiting) != MaxWaiting || s.History[0].Result != ResultSkipped {
		t.Errorf("%d wait, history %s", len(s.Waiting), show(s.history()))
	}
	s.name, s.def.Name = strings.Repeat("n", 128), strings.Repeat("n", 128)
	for len(s.History) < MaxHistory {
		s.note(run{Nominal: at(1), Until: at(2), ID: broker.NewTaskID("q", ""), At: at(3), Result: ResultRefused, Why: strings.Repeat("\x01", 300), State: broker.StateFailed})
	}
	definition := s.def.store(&broker.Task{Name: "job", Payload: make([]byte, MaxArguments), Meta: map[string]string{"k": strings.Repeat("v", broker.DefaultMaxMeta)}})
	var err error
	if s.plain, err = json.Marshal(definition); err != nil {
		t.Fatal(err)
	}
	s.Definition = append(s.plain, make([]byte, 100)...)
	s.Paused = &pause{Note: strings.Repeat("\x01", 1000)}
	if data, err := s.encode(); err != nil || len(data) > broker.MaxDocument {
		t.Errorf("the largest record has %d bytes, %v", len(data), err)
	}
}

func TestMissedTicks(t *testing.T) {
	t.Parallel()
	hourly := func(d *Definition) { d.When = Cron("0 0 * * * *") }
	for _, test := range []struct {
		name    string
		change  func(*Definition)
		missed  Missed
		hours   float64 // after begin
		history string  // in hours
		intents string
	}{
		{"in time", hourly, MissedSkip, 1 + 59/3600., "", "1"},
		{"once", hourly, MissedOnce, 5.5, "1-4:missed", "5"},
		{"once, of one", hourly, MissedOnce, 1.5, "", "1"},
		{"once, and one in time", hourly, MissedOnce, 5.01, "1-3:missed", "4 5"},
		{"skip", hourly, MissedSkip, 5.5, "1-5:missed", ""},
		{"skip, and one in time", hourly, MissedSkip, 5.01, "1-4:missed", "5"},
		{"all", hourly, MissedAll, 5.5, "", "1 2 3 4 5"},
		{"once, after a week", hourly, MissedOnce, 7*24 + .5, "1-144:missed 145-167:missed", "168"},
		{"all, after a week", hourly, MissedAll, 7*24 + .5, "1-144:missed", "145 146 147 148 149 150 151 152 153 154 155 156 157 158 159 160 161 162 163 164 165 166 167 168"},
		{"all of three hours", func(d *Definition) { hourly(d); d.Window = 3 * time.Hour }, MissedAll, 9.5, "1-6:missed", "7 8 9"},
		{"the window has none", func(d *Definition) { hourly(d); d.Window = time.Minute }, MissedOnce, 9.5, "1-9:missed", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := fresh(t, func(d *Definition) { test.change(d); d.Missed = test.missed })
			now := begin + int64(test.hours*3600_000)
			for s.advance(now) && len(s.Intents) == 0 {
			}
			hours := func(runs []run) string {
				runs = slices.Clone(runs)
				for i := range runs {
					runs[i].Nominal = begin + (runs[i].Nominal-begin)/3600
					if runs[i].Until > 0 {
						runs[i].Until = begin + (runs[i].Until-begin)/3600
					}
				}
				return show(runs)
			}
			s.want(t, "history", hours(s.history()), test.history)
			s.want(t, "intents", hours(s.Intents), test.intents)
			s.submit()
			if s.advance(now) {
				t.Errorf("there was more to decide: %s", show(s.Intents))
			}
		})
	}
}

// A schedule of each second that nobody has run for ten years is decided at once.
func TestMissedForYears(t *testing.T) {
	t.Parallel()
	for _, missed := range []Missed{MissedOnce, MissedSkip} {
		s := fresh(t, func(d *Definition) { d.Missed = missed })
		start, changes := time.Now(), 0
		for s.advance(at(10 * 365 * 86400)) {
			s.submit()
			changes++
		}
		if took := time.Since(start); took > 10*time.Second || changes > 5 {
			t.Errorf("%s: %d changes took %v", missed, changes, took)
		}
	}
}

func TestNumberOfRuns(t *testing.T) {
	t.Parallel()
	s := fresh(t, func(d *Definition) { d.Runs = 3; d.Overlap = OverlapQueueAll })
	for now := int64(1); now <= 10; now++ {
		s.advance(at(now))
		s.submit()
		if now%2 == 0 {
			s.end(broker.StateSucceeded, at(now))
		}
	}
	s.end(broker.StateSucceeded, at(10))
	s.want(t, "history", show(s.history()), "1 2 3")
	if _, ok := s.wake(); ok || s.Runs != 3 {
		t.Errorf("%d runs, and it wakes again: %v", s.Runs, ok)
	}
	s.decide(s.run(Triggered, at(11), at(11)))
	s.want(t, "triggered", show(s.submit()), "t11")
}

func TestPauseOnFailure(t *testing.T) {
	t.Parallel()
	s := fresh(t, func(d *Definition) { d.PauseOnFailure, d.Overlap = true, OverlapQueueAll })
	for now := int64(1); now <= 3; now++ {
		s.advance(at(now))
		s.submit()
	}
	failed := s.Open[0].ID
	s.end(broker.StateFailed, at(3))
	if s.Paused == nil || s.Paused.Failed != failed.String() || !strings.Contains(s.Paused.Note, failed.String()) {
		t.Fatalf("paused: %+v", s.Paused)
	}
	if s.advance(at(5)) || s.awaited() {
		t.Errorf("a paused schedule goes on: %s", show(s.Intents))
	}
	if _, ok := s.wake(); ok {
		t.Error("a paused schedule wakes")
	}
	s.decide(s.run(Triggered, at(5), at(5)))
	if s.want(t, "waiting", show(s.Waiting), "2 3 t5"); !s.advance(at(5)) {
		t.Error("the triggered tick does not start")
	}
	s.want(t, "intents", show(s.submit()), "t5")
	s.end(broker.StateSucceeded, at(6))
	s.Paused, s.Last = nil, at(6)
	s.advance(at(7))
	s.want(t, "intents", show(s.submit()), "2")
	s.want(t, "waiting", show(s.Waiting), "3 7")
}

func TestBackfillOfRecord(t *testing.T) {
	t.Parallel()
	for overlap, want := range map[Overlap][]string{
		OverlapAllow:    {"b-5 b-4 b-3 b-2"},
		OverlapSkip:     {"b-5", "b-4", "b-3", "b-2"},
		OverlapQueueAll: {"b-5", "b-4", "b-3", "b-2"},
	} {
		s := fresh(t, func(d *Definition) { d.Overlap, d.When = overlap, Every(time.Second).From(moment(begin-3600_000)) })
		s.Backfill = []fill{{Next: at(-5), To: at(-1)}}
		for _, w := range want {
			s.advance(at(0))
			s.want(t, overlap.String(), show(s.submit()), w)
			s.end(broker.StateSucceeded, at(0))
		}
		if s.advance(at(0)); len(s.Backfill)+len(s.Intents) > 0 {
			t.Errorf("%s: %+v %s", overlap, s.Backfill, show(s.Intents))
		}
	}
}

// Over any course of time, each tick is decided once and in order, by the words of the rules.
func TestRandomCourses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 9))
		s := fresh(t, func(d *Definition) {
			d.When = []When{Cron("* * * * * *"), Cron("*/7 * * * * *"), Every(5 * time.Second), Every(90 * time.Second).From(moment(begin - 1000))}[rng.IntN(4)]
			d.Overlap, d.Missed = Overlap(rng.IntN(5)), Missed(rng.IntN(3))
			d.Window = []time.Duration{0, 5 * time.Minute}[rng.IntN(2)]
			d.Jitter = []time.Duration{0, 0, 3 * time.Second}[rng.IntN(3)]
			if rng.IntN(3) == 0 {
				d.Except = []Exclusion{Between(moment(at(50)), moment(at(80)))}
			}
		})
		ticks := make(map[int64]string) // what has become of each
		seen := make(map[broker.ID]bool)
		take := func(r run, what string) {
			for tick, ok := r.Nominal, true; ok && tick <= max(r.Until, r.Nominal); tick, ok = s.tt.after(tick) {
				if was := ticks[tick]; was != "" && was != "waits" {
					t.Fatalf("seed %d: tick %d was %s, and is %s", seed, (tick-begin)/1000, was, what)
				}
				ticks[tick] = what
			}
		}
		now := begin
		var last int64
		for range 60 {
			step := rng.Int64N(3000)
			if rng.IntN(8) == 0 {
				step = rng.Int64N(600_000)
			}
			now += step
			for s.advance(now) {
				for _, r := range s.history() {
					if r.Result == ResultMissed || r.Result == ResultSkipped {
						take(r, r.Result.String())
					}
				}
				s.History = nil
				for _, r := range s.submit() {
					if seen[r.ID] {
						t.Fatalf("seed %d: a task has the id of another one", seed)
					}
					seen[r.ID] = true
					take(r, "run")
				}
				for _, r := range s.Waiting {
					if ticks[r.Nominal] == "" {
						take(r, "waits")
					}
				}
				if s.def.Overlap != OverlapAllow && len(s.Open) > 1 {
					t.Fatalf("seed %d: %d runs overlap", seed, len(s.Open))
				}
			}
			if s.Last < last {
				t.Fatalf("seed %d: the last tick went back", seed)
			}
			last = s.Last
			for tick, ok := s.tt.after(begin); ok && tick <= last; tick, ok = s.tt.after(tick) {
				if ticks[tick] == "" {
					t.Fatalf("seed %d: nothing has become of tick %d", seed, (tick-begin)/1000)
				}
			}
			if next, ok := s.tt.after(last); ok && s.tt.due(next) <= now {
				t.Fatalf("seed %d: tick %d is due at %d and not decided at %d", seed, (next-begin)/1000, s.tt.due(next)-begin, now-begin)
			}
			if rng.IntN(3) == 0 {
				s.end(broker.StateSucceeded, now)
				s.History = nil
			}
		}
		for tick := range ticks {
			if s.tt.excluded(tick); tick <= begin {
				t.Fatalf("seed %d: a tick before the beginning", seed)
			}
			if _, ok := s.tt.excluded(tick); ok {
				t.Fatalf("seed %d: an excluded tick", seed)
			}
		}
	}
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	t.Parallel()
	call := task.Named("job", task.Args())
	for name, change := range map[string]func(*Definition){
		"name":               func(d *Definition) { d.Name = "a b" },
		"no When":            func(d *Definition) { d.When = When{} },
		"expression":         func(d *Definition) { d.When = Cron("x") },
		"zone":               func(d *Definition) { d.When = Cron("* * * * *").In("Mars/Olympus") },
		"zone Local":         func(d *Definition) { d.When = Cron("* * * * *").In("Local") },
		"zone of interval":   func(d *Definition) { d.When = Every(time.Hour).In("UTC") },
		"anchor of cron":     func(d *Definition) { d.When = Cron("* * * * *").From(time.Now()) },
		"short interval":     func(d *Definition) { d.When = Every(time.Millisecond) },
		"odd interval":       func(d *Definition) { d.When = Every(time.Second + time.Microsecond) },
		"long interval":      func(d *Definition) { d.When = Every(broker.MaxDuration + time.Second) },
		"negative interval":  func(d *Definition) { d.When = Every(-time.Hour) },
		"no Call":            func(d *Definition) { d.Call = nil },
		"zero Call":          func(d *Definition) { d.Call = task.Call[int]{} },
		"bad Call":           func(d *Definition) { d.Call = task.Named("a b", task.Args()) },
		"group":              func(d *Definition) { d.Call = task.All(call) },
		"pipe":               func(d *Definition) { d.Call = request.Pipe([]*request.Request{call.Request()}) },
		"delay":              func(d *Definition) { d.Call = call.With(task.Delay(time.Second)) },
		"ETA":                func(d *Definition) { d.Call = call.With(task.ETA(time.Now())) },
		"deadline":           func(d *Definition) { d.Call = call.With(task.Deadline(time.Now())) },
		"inherit":            func(d *Definition) { d.Call = call.With(task.Inherit()) },
		"end before start":   func(d *Definition) { d.Start, d.End = time.Now().Add(time.Hour), time.Now() },
		"no tick in between": func(d *Definition) { d.Start, d.End = moment(at(1)), moment(at(2)); d.When = Every(time.Hour) },
		"runs":               func(d *Definition) { d.Runs = -1 },
		"jitter":             func(d *Definition) { d.Jitter = -1 },
		"long jitter":        func(d *Definition) { d.Jitter = MaxJitter + 1 },
		"window":             func(d *Definition) { d.Window = -1 },
		"overlap":            func(d *Definition) { d.Overlap = 5 },
		"missed":             func(d *Definition) { d.Missed = 3 },
		"day":                func(d *Definition) { d.Except = []Exclusion{Day("tomorrow")} },
		"no day":             func(d *Definition) { d.Except = []Exclusion{{}} },
		"empty time":         func(d *Definition) { d.Except = []Exclusion{Between(time.Now(), time.Now())} },
		"all is excluded": func(d *Definition) {
			d.End, d.Except = time.Unix(4e9, 0), []Exclusion{Between(time.Unix(-1e9, 0), time.Unix(1e11, 0))}
		},
	} {
		d := Definition{Name: "nightly", When: Cron("* * * * *"), Call: call}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		change(&d)
		err := d.Check()
		if err == nil || !strings.Contains(err.Error(), "invalid") || d.Name == "nightly" && !strings.Contains(err.Error(), "nightly") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Next(time.Now(), 1); err == nil {
			t.Errorf("%s: Next accepts it", name)
		}
	}
}

func TestExclusionsAndBounds(t *testing.T) {
	t.Parallel()
	d := Definition{
		Name: "s", When: Cron("0 0 12 * * *").In("America/Sao_Paulo"), Call: task.Named("job", task.Args()),
		Except: []Exclusion{
			Day("2018-11-03"), Day("2018-11-04"), // a day that begins at 01:00
			Between(time.Date(2018, 11, 6, 14, 0, 0, 0, time.UTC), time.Date(2018, 11, 7, 14, 0, 0, 0, time.UTC)), // 12:00 there, of the 6th
		},
		Start: time.Date(2018, 11, 1, 15, 0, 0, 1, time.UTC), // just after 12:00 there
		End:   time.Date(2018, 11, 8, 14, 0, 0, 0, time.UTC), // 12:00 there
	}
	ticks, err := d.Next(time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tick := range ticks {
		got = append(got, tick.Format(time.RFC3339))
	}
	want := "2018-11-02T12:00:00-03:00 2018-11-05T12:00:00-02:00 2018-11-07T12:00:00-02:00 2018-11-08T12:00:00-02:00"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("ticks %s, want %s", s, want)
	}
	d = Definition{Name: "s", When: Every(90 * time.Minute).From(moment(begin)), Call: d.Call, Runs: 3}
	ticks, _ = d.Next(moment(begin-1), 10)
	if len(ticks) != 3 || ticks[0].UnixMilli() != begin || ticks[2].UnixMilli() != begin+3*3600_000 {
		t.Errorf("ticks %v", ticks)
	}
	if ticks, _ = d.Next(moment(begin).AddDate(-300, 0, 0), 1); ticks[0].UnixMilli() != begin {
		t.Errorf("the first tick is %v", ticks)
	}
	if ticks, _ = d.Next(moment(begin).AddDate(400, 0, 0), 1); ticks[0].Sub(moment(begin).AddDate(400, 0, 0)) > 90*time.Minute {
		t.Errorf("the tick is %v", ticks)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	s := fresh(t, func(d *Definition) { d.When, d.Jitter = Every(time.Hour), 10*time.Minute })
	var late []int64
	for tick, i := begin, 0; i < 50; i++ {
		tick, _ = s.tt.after(tick)
		due := s.tt.due(tick)
		if due < tick || due > tick+600_000 || due != s.tt.due(tick) {
			t.Errorf("tick %d is due at %d", tick, due)
		}
		late = append(late, due-tick)
	}
	slices.Sort(late)
	if late[0] > 120_000 || late[49] < 480_000 {
		t.Errorf("the jitter is between %d and %d ms", late[0], late[49])
	}
}
