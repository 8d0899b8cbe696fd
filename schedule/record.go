package schedule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task/request"
)

// collection is the collection of the documents of all schedules, which have their names.
const collection = "schedules"

// recordVersion is the version of records that this package writes and reads. A newer one has fields that it would lose.
const recordVersion = 1

// record is the document of a schedule, as JSON. docs/wire.md describes it. All times are unix milliseconds by the broker's clock.
//
// A tick goes through the record in two steps. First it is decided: one change moves Last past the tick and puts it into Intents,
// if it is to run. Then its task is submitted, and a second change moves it from Intents to Open. A process that finds a tick in
// Intents submits it, whichever process has decided it. That is harmless, since the id of the task is made of the schedule and the
// nominal time. So no tick is lost if a process dies between any two lines, and none is decided twice.
type record struct {
	Version    int    `json:"v"`
	Definition []byte `json:"definition"`       // a stored definition as JSON, sealed if Sealer is set
	Sealer     string `json:"sealer,omitempty"` // the name of the codec that has sealed it
	Born       int64  `json:"born"`             // when the schedule was stored first; it is in the ids of its tasks
	Set        string `json:"set,omitempty"`    // the set of declarations that it belongs to; see Declared

	Paused *pause `json:"paused,omitempty"`

	Last     int64  `json:"last"`           // all ticks up to this nominal time are decided
	Runs     int    `json:"runs,omitempty"` // ticks that were submitted, without those of Trigger and Backfill
	By       string `json:"by,omitempty"`   // the process that has decided last; the others wait a little for it
	Intents  []run  `json:"intents,omitempty"`
	Open     []run  `json:"open,omitempty"`    // submitted, and not known to have ended
	Waiting  []run  `json:"waiting,omitempty"` // decided, and not to be submitted before the open ones have ended
	Backfill []fill `json:"backfill,omitempty"`
	Filled   string `json:"filled,omitempty"` // the token of the last Backfill

	History []*noted `json:"history,omitempty"` // the last ones that have ended or did not run, oldest first
}

// noted is an entry of the history. It never changes, so all versions of a record share it, and it is encoded only once: otherwise
// the history would be most of the cost of a tick.
type noted struct {
	run
	text []byte // as JSON; nil if it was not encoded yet
}

// pause says since when and why a schedule is paused.
type pause struct {
	At   int64  `json:"at"`
	Note string `json:"note,omitempty"`
	// Failed is the task whose failure has paused the schedule; empty if somebody has called Pause.
	Failed string `json:"failed,omitempty"`
}

// fill is a range of ticks that a Backfill has asked for. Next is the first moment that is not decided.
type fill struct {
	Token string `json:"token"` // tells a repeated request from another one
	Next  int64  `json:"next"`
	To    int64  `json:"to"` // the end, which is not in the range
}

// run is a tick, or a range of ticks that did not run for the same reason.
type run struct {
	Nominal int64        `json:"nominal"`
	Until   int64        `json:"until,omitempty"` // of a range: the last nominal time
	Kind    Kind         `json:"kind,omitempty"`
	ID      broker.ID    `json:"id,omitzero"`
	At      int64        `json:"at,omitempty"` // when it was decided
	Result  Result       `json:"result,omitempty"`
	Why     string       `json:"why,omitempty"`
	State   broker.State `json:"state,omitempty"` // the final state of its task, as far as it is known
	Stop    bool         `json:"stop,omitempty"`  // it is killed, because of a later tick
}

// Kind says why a tick runs.
type Kind uint8

// The kinds of ticks.
const (
	Scheduled  Kind = iota // its time has come
	Triggered              // somebody has called Trigger
	Backfilled             // somebody has called Backfill
)

// String returns the kind in a word.
func (k Kind) String() string {
	return [...]string{"scheduled", "triggered", "backfilled", "unknown"}[min(k, 3)]
}

// Result says what has become of a tick.
type Result uint8

// The results of ticks.
const (
	ResultSubmitted Result = iota // its task was submitted
	ResultSkipped                 // it did not run because of another run; see Overlap
	ResultMissed                  // no process was there in time; see Missed
	ResultRefused                 // the broker has refused its task
	ResultWaiting                 // it waits for the end of another run
)

// String returns the result in a word.
func (r Result) String() string {
	return [...]string{"submitted", "skipped", "missed", "refused", "waiting", "unknown"}[min(r, 5)]
}

// definition is a stored definition.
type definition struct {
	Cron   string     `json:"cron,omitempty"`
	Zone   string     `json:"zone,omitempty"`
	Every  int64      `json:"every,omitempty"`
	Anchor int64      `json:"anchor,omitempty"`
	Start  int64      `json:"start,omitempty"`
	End    int64      `json:"end,omitempty"`
	Runs   int        `json:"runs,omitempty"`
	Days   []string   `json:"days,omitempty"`
	Except [][2]int64 `json:"except,omitempty"`
	Jitter int64      `json:"jitter,omitempty"`

	Overlap Overlap `json:"overlap,omitempty"`
	Missed  Missed  `json:"missed,omitempty"`
	Window  int64   `json:"window,omitempty"`
	Pause   bool    `json:"pause_on_failure,omitempty"`

	Task []byte `json:"task"` // the record of a task to be submitted, see wire.AppendSubmit; not sealed
}

// store returns the stored form of a definition, with the record of its task.
func (d *Definition) store(t *broker.Task) definition {
	out := definition{
		Cron: d.When.expr, Zone: d.When.zone, Every: d.When.every.Milliseconds(), Start: millis(d.Start), End: millis(d.End), Runs: d.Runs,
		Jitter: d.Jitter.Milliseconds(), Overlap: d.Overlap, Missed: d.Missed, Window: d.Window.Milliseconds(), Pause: d.PauseOnFailure,
		Anchor: millis(d.When.anchor), Task: wire.AppendSubmit(nil, t),
	}
	for _, x := range d.Except {
		if x.day != "" {
			out.Days = append(out.Days, x.day)
		} else {
			out.Except = append(out.Except, [2]int64{millis(x.from), millis(x.to)})
		}
	}
	return out
}

// load returns the definition that was stored, and the task.
func (x *definition) load(name string) (*Definition, *broker.Task, error) {
	t, err := wire.ParseSubmit(x.Task)
	if err != nil {
		return nil, nil, err
	}
	d := &Definition{
		Name: name, Call: request.Prepared(t, false, false), Start: moment(x.Start), End: moment(x.End), Runs: x.Runs, Jitter: ms(x.Jitter),
		Overlap: x.Overlap, Missed: x.Missed, Window: ms(x.Window), PauseOnFailure: x.Pause,
		When: When{expr: x.Cron, zone: x.Zone, every: ms(x.Every), anchor: moment(x.Anchor)},
	}
	for _, day := range x.Days {
		d.Except = append(d.Except, Day(day))
	}
	for _, s := range x.Except {
		d.Except = append(d.Except, Between(moment(s[0]), moment(s[1])))
	}
	return d, t, nil
}

// millis returns a time in unix milliseconds, 0 for none. The first millisecond of 1970 becomes the second.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if n := t.UnixMilli(); n != 0 {
		return n
	}
	return 1
}

// moment is the reverse of millis.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// stored is the document of a schedule, read.
type stored struct {
	name    string
	version uint64 // of the document; 0 if there is none
	record

	// The definition. err is set if it can't be read or opened: then this process can't run the schedule.
	err   error
	plain []byte // as JSON
	def   *Definition
	tt    *timetable
	task  *broker.Task
}

// readRecord reads a document. The error wraps [broker.ErrVersion] or [broker.ErrMalformed].
func readRecord(d *broker.Document) (*stored, error) {
	if d.Err != nil {
		return nil, fmt.Errorf("schedule %s: %w", d.Name, d.Err)
	}
	s := &stored{name: d.Name, version: d.Version}
	var v struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(d.Data, &v); err != nil {
		return nil, fmt.Errorf("schedule %s: %w: %w", d.Name, broker.ErrMalformed, err)
	}
	if v.Version != recordVersion {
		return nil, fmt.Errorf("schedule %s: %w: it has version %d, and this program reads %d; update the program", d.Name, broker.ErrVersion, v.Version, recordVersion)
	}
	if err := json.Unmarshal(d.Data, &s.record); err != nil {
		return nil, fmt.Errorf("schedule %s: %w: %w", d.Name, broker.ErrMalformed, err)
	}
	s.History = slices.DeleteFunc(s.History, func(n *noted) bool { return n == nil }) // a null, of whoever has damaged it
	return s, nil
}

// open reads the definition of a record. was is what the caller knows of the schedule, or nil: an equal definition is not read again.
func (s *stored) open(codecs []codec.Codec, was *stored) {
	if was != nil && was.err == nil && was.Sealer == s.Sealer && was.Born == s.Born && bytes.Equal(was.Definition, s.Definition) {
		s.plain, s.def, s.tt, s.task = was.plain, was.def, was.tt, was.task
		return
	}
	s.err = s.openNow(codecs)
	if s.err != nil {
		s.err = fmt.Errorf("schedule %s: its definition can't be read: %w", s.name, s.err)
	}
}

func (s *stored) openNow(codecs []codec.Codec) error {
	plain, err := seal.OpenSchedule(codecs, s.Sealer, s.name, s.Definition)
	if err != nil {
		return err
	}
	var x definition
	if err := json.Unmarshal(plain, &x); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrMalformed, err)
	}
	if s.def, s.task, err = x.load(s.name); err != nil {
		return err
	}
	s.plain = plain
	s.tt, err = newTimetable(s.def)
	return err
}

// encode returns the data of the document.
func (s *stored) encode() ([]byte, error) {
	s.Version = recordVersion
	rest := s.record
	rest.History = nil
	data, err := json.Marshal(&rest)
	if err != nil || len(s.History) == 0 {
		return data, err
	}
	size := len(data)
	for _, n := range s.History {
		if n.text == nil {
			if n.text, err = json.Marshal(&n.run); err != nil {
				return nil, err
			}
		}
		size += len(n.text) + 1
	}
	const field = `,"history":`
	data = append(append(make([]byte, 0, size+len(field)+1), data[:len(data)-1]...), field...)
	sep := byte('[')
	for _, n := range s.History {
		data, sep = append(append(data, sep), n.text...), ','
	}
	return append(data, "]}"...), nil
}

// clone returns a copy that can be changed.
func (s *stored) clone() *stored {
	c := *s
	if s.Paused != nil {
		p := *s.Paused
		c.Paused = &p
	}
	for _, list := range []*[]run{&c.Intents, &c.Open, &c.Waiting} {
		*list = slices.Clone(*list)
	}
	c.Backfill, c.History = slices.Clone(s.Backfill), slices.Clone(s.History)
	return &c
}

// note adds an entry to the history.
func (s *stored) note(r run) {
	s.History = append(s.History, &noted{run: r})
	if n := len(s.History) - MaxHistory; n > 0 {
		s.History = slices.Delete(s.History, 0, n)
	}
}

// history returns the entries of the history.
func (s *stored) history() []run {
	out := make([]run, len(s.History))
	for i, n := range s.History {
		out[i] = n.run
	}
	return out
}

// run returns the run of a tick.
func (s *stored) run(kind Kind, nominal, now int64) run {
	return run{Nominal: nominal, Kind: kind, ID: idOf(s.name, s.Born, kind, nominal, s.task), At: now}
}
