package schedule

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/cut"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Put stores a schedule, in place of an earlier one with the same name. The ticks of the new definition begin now, by the broker's
// clock: those that are due and were not decided are left out. The rest stays as it is: whether it is paused, the runs that have not
// ended, and the history. An equal definition changes nothing.
func (s *Scheduler) Put(ctx context.Context, d Definition) error {
	return s.put(ctx, &d, nil)
}

// put stores a schedule. set is the set of declarations that it belongs to; with nil it keeps the one that it has.
func (s *Scheduler) put(ctx context.Context, d *Definition, set *string) error {
	plain, sealed, sealer, err := s.pack(d)
	if err != nil {
		return err
	}
	for {
		x, now, err := s.read(ctx, d.Name)
		if errors.Is(err, broker.ErrMalformed) {
			return fmt.Errorf("%w; delete it first", err)
		}
		if err == nil {
			err = s.finish(ctx, x)
		}
		if err == nil {
			same := x.version != 0 && x.Sealer == sealer && x.err == nil && bytes.Equal(x.plain, plain)
			if same && (set == nil || x.Set == *set) {
				return nil
			}
			if x.version == 0 {
				x.Born = now
			}
			if set != nil {
				x.Set = *set
			}
			if !same {
				x.refuseIntents("the definition was replaced, and could not be read any more")
				x.Definition, x.Sealer, x.Last = sealed, sealer, max(x.Last, now)
			}
			err = again(ctx, func() error { return s.write(ctx, x) })
		}
		if !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
}

// pack checks a definition and returns its stored form, plain and sealed.
func (s *Scheduler) pack(d *Definition) (plain, sealed []byte, sealer string, err error) {
	if _, err := newTimetable(d); err != nil {
		return nil, nil, "", err
	}
	bad := func(err error) ([]byte, []byte, string, error) {
		return nil, nil, "", fmt.Errorf("schedule %s: %w", d.Name, err)
	}
	t := new(broker.Task)
	req := d.Call.Request()
	if args := req.Args(); args != nil { // a copy, since a request is encoded once, and another scheduler may have another codec
		req = req.WithArgs(args)
	} // else it is from a stored schedule, with its encoded arguments
	if err := req.Draft(t, s.codec, time.Time{}, nil); err != nil {
		return bad(err)
	}
	if len(t.Payload) > MaxArguments {
		return bad(fmt.Errorf("%w: arguments of %d bytes, the limit for a schedule is %d", broker.ErrTooLarge, len(t.Payload), MaxArguments))
	}
	// A tick must be accepted by the broker, so one is checked here.
	x := &stored{name: d.Name, task: t, def: d}
	r := x.run(Backfilled, time.Now().UnixMilli(), 0)
	tick, err := s.taskOf(x, &r, time.Now())
	if err == nil {
		err = broker.CheckTask(s.b, tick)
	}
	if err != nil {
		return bad(err)
	}
	if plain, err = json.Marshal(d.store(t)); err != nil {
		return bad(err)
	}
	if of := seal.Of(s.codec); of != nil {
		sealed, err = seal.Schedule(of, d.Name, plain)
		if err != nil {
			return bad(err)
		}
		return plain, sealed, of.Name(), nil
	}
	return plain, plain, "", nil
}

// Delete removes a schedule. Its runs go on, and its history is lost. It is no error if there is none. When Delete has returned, no
// tick starts a task any more. If the scheduler lacks the key of a sealed definition, a process that submits a tick at that moment may
// still do so.
func (s *Scheduler) Delete(ctx context.Context, name string) error {
	return s.remove(ctx, name, nil)
}

// remove removes a schedule if only is nil or accepts it.
func (s *Scheduler) remove(ctx context.Context, name string, only func(x *stored) bool) error {
	for {
		x, _, err := s.read(ctx, name)
		version := broker.AnyVersion
		switch {
		case (errors.Is(err, broker.ErrMalformed) || errors.Is(err, broker.ErrVersion)) && only == nil:
			err = nil // a damaged one is removed, too
		case err == nil && x.version == 0, err == nil && only != nil && !only(x):
			return nil
		case err == nil:
			err = s.finish(ctx, x)
			version = x.version
		}
		if err == nil {
			err = again(ctx, func() error { return s.docs.RemoveDocument(ctx, collection, name, version) })
		}
		if !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
}

// Pause stops a schedule until [Scheduler.Resume], and notes why. When Pause has returned, no tick starts a task any more: those
// that were due before have been submitted, or wait for the end of a run as long as the schedule is paused. Tasks that were
// submitted go on. [Scheduler.Trigger] works, and the ticks that are due meanwhile are left out. The note of a schedule that is
// paused already is replaced. A note may have 1,000 bytes; a longer one is cut.
//
// A scheduler without the key of a sealed definition pauses it, too, but it can't submit a tick that was decided before. A process
// with the key does so after Pause has returned. When the Open of [Scheduler.Get] is 0 no such tick is left, and its runs have ended.
func (s *Scheduler) Pause(ctx context.Context, name, note string) error {
	note = cut.To(note, 1000)
	_, err := s.change(ctx, name, func(x *stored, now int64) (bool, error) {
		if x.Paused != nil && x.Paused.Note == note {
			return false, nil
		}
		if x.Paused == nil {
			x.Paused = &pause{At: now}
		}
		x.Paused.Note = note
		return true, nil
	})
	return err
}

// Resume lets a paused schedule go on with the ticks after now, and with those that wait for the end of a run. It is no error if
// it is not paused.
func (s *Scheduler) Resume(ctx context.Context, name string) error {
	_, err := s.change(ctx, name, func(x *stored, now int64) (bool, error) {
		if x.Paused == nil {
			return false, nil
		}
		x.Paused, x.Last = nil, max(x.Last, now)
		return true, nil
	})
	return err
}

// Trigger runs a schedule once, now, also while it is paused or has ended. The nominal time of this tick is the time of the call. The policy
// for overlaps holds: the tick may be left out or wait, as its Result says.
func (s *Scheduler) Trigger(ctx context.Context, name string) (TickInfo, error) {
	var at int64 // it stays the same if the change is repeated, and so does the id
	var r run
	x, err := s.change(ctx, name, func(x *stored, now int64) (bool, error) {
		if x.err != nil {
			return false, x.err
		}
		if at == 0 {
			at = now
		}
		r = x.run(Triggered, at, now)
		if _, done := x.find(r.ID); done {
			return false, nil
		}
		if x.def.Overlap != OverlapAllow { // perhaps no process runs the schedule, and nobody has noticed the end of a run
			states, err := s.states(ctx, openIDs(x))
			if err != nil {
				return false, fmt.Errorf("schedule %s: %w", name, err)
			}
			x.ended(states, now)
		}
		x.decide(r)
		return true, nil
	})
	if err != nil {
		return TickInfo{}, err
	}
	if err := s.stop(ctx, x); err != nil {
		return TickInfo{}, err
	}
	for len(x.Intents) > 0 { // otherwise the next process that looks at the schedule would submit it
		err := s.finish(ctx, x)
		if err == nil {
			break
		}
		if !errors.Is(err, broker.ErrConflict) {
			return TickInfo{}, err
		}
		if x, _, err = s.found(ctx, name); err != nil {
			return TickInfo{}, err
		}
	}
	if done, ok := x.find(r.ID); ok {
		r = done
	}
	return r.public(), nil
}

// Backfill runs the ticks of a time from a moment on, up to another one, which is not in it. A tick whose task is still known to the
// broker does not run again: it has the same id. The runs have the kind Backfilled. They come after the ticks that wait; with
// OverlapAllow they run side by side, and otherwise one after the other, when the schedule has no other run. A schedule that is paused runs them
// when it is resumed. Start, End and Except hold, and Runs and Missed do not.
//
// It returns the number of ticks, which is counted up to 1,000,000.
func (s *Scheduler) Backfill(ctx context.Context, name string, from, to time.Time) (ticks int, err error) {
	if !from.Before(to) {
		return 0, fmt.Errorf("schedule %.140q: %w: a backfill from %v to %v", name, broker.ErrInvalid, from, to)
	}
	token := broker.NewID(broker.KindParty, "", 0).String()
	_, err = s.change(ctx, name, func(x *stored, _ int64) (bool, error) {
		if x.err != nil {
			return false, x.err
		}
		if x.Filled == token || slices.ContainsFunc(x.Backfill, func(f fill) bool { return f.Token == token }) {
			return false, nil
		}
		if len(x.Backfill) >= maxBackfills {
			return false, fmt.Errorf("schedule %s: %w: %d backfills have not ended", name, broker.ErrInvalid, maxBackfills)
		}
		ticks = 0
		end := to.UnixMilli()
		for tick, ok := x.tt.after(ceil(from) - 1); ok && tick < end && ticks < 1_000_000; tick, ok = x.tt.after(tick) {
			ticks++
		}
		if ticks > 0 {
			x.Filled = token
			x.Backfill = append(x.Backfill, fill{Token: token, Next: ceil(from), To: end})
		}
		return ticks > 0, nil
	})
	return ticks, err
}

// maxBackfills is how many backfills a schedule can have at a time.
const maxBackfills = 20

// ceil returns a time in unix milliseconds, rounded up.
func ceil(t time.Time) int64 {
	n := t.UnixMilli()
	if t.After(time.UnixMilli(n)) {
		n++
	}
	return n
}

// find returns the run of a task that the record has.
func (s *stored) find(id task.ID) (run, bool) {
	for _, list := range []struct {
		runs   []run
		result Result
	}{{s.Intents, ResultSubmitted}, {s.Open, ResultSubmitted}, {s.Waiting, ResultWaiting}, {s.history(), 0}} {
		for _, r := range list.runs {
			if r.ID == id {
				if list.result != 0 {
					r.Result = list.result
				}
				return r, true
			}
		}
	}
	return run{}, false
}

// Status is a schedule as it is stored.
type Status struct {
	Definition Definition // its Call has the name of the task, its options and its encoded arguments; empty if Err is set
	Name       string
	Task       string // the name of the task; empty if Err is set
	Set        string // the set of declarations that it belongs to, empty for none; see Declared
	Created    time.Time

	Paused     bool
	PausedAt   time.Time
	Note       string  // why it is paused
	FailedTask task.ID // the task whose failure has paused it; zero if none has

	Next    time.Time // the nominal time of the next tick, zero if there is none or it is paused
	Last    time.Time // all ticks up to this time are decided
	Runs    int       // how many ticks were submitted; those of Trigger and Backfill do not count
	Open    int       // runs that are not known to have ended
	Waiting int       // ticks that wait for the end of a run

	// Err is set if the record or the definition can't be read: a newer program has written it, it is damaged, or it is sealed
	// with a key that this scheduler lacks.
	Err error
}

// status returns the status of a schedule.
func (s *stored) status() Status {
	st := Status{
		Name: s.name, Set: s.Set, Created: moment(s.Born), Last: moment(s.Last), Runs: s.Runs, Open: len(s.Open) + len(s.Intents), Waiting: len(s.Waiting), Err: s.err,
	}
	if s.Paused != nil {
		st.Paused, st.PausedAt, st.Note = true, moment(s.Paused.At), s.Paused.Note
		st.FailedTask, _ = task.ParseID(s.Paused.Failed)
	}
	if s.err == nil {
		st.Definition, st.Task = *s.def, s.task.Name
		if tick, ok := s.tt.after(s.Last); ok && s.Paused == nil && !s.over() {
			st.Next = moment(tick).In(s.tt.zone)
		}
	}
	return st
}

// Get returns a schedule.
func (s *Scheduler) Get(ctx context.Context, name string) (Status, error) {
	x, _, err := s.found(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return x.status(), nil
}

// List returns all schedules of the namespace, sorted by name. A schedule that can't be read is in the list, with its Err.
func (s *Scheduler) List(ctx context.Context) ([]Status, error) {
	all, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []Status
	for _, d := range all {
		x, err := readRecord(&d)
		if err != nil {
			out = append(out, Status{Name: d.Name, Err: err})
			continue
		}
		x.open(s.codecs, nil)
		out = append(out, x.status())
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// all returns the documents of all schedules.
func (s *Scheduler) all(ctx context.Context) (out []broker.Document, err error) {
	byName := make(map[string]int) // a document that is changed meanwhile can be on two pages
	for after := uint64(0); ; {
		var list broker.DocumentList
		if err := again(ctx, func() (err error) {
			list, err = s.docs.DocumentChanges(ctx, collection, after, 0)
			return err
		}); err != nil {
			return nil, fmt.Errorf("schedules: %w", err)
		}
		for _, d := range list.Documents {
			at, known := byName[d.Name]
			if !known {
				at, byName[d.Name] = len(out), len(out)
				out = append(out, d)
			}
			out[at] = d
		}
		if after = list.Next; !list.More {
			return slices.DeleteFunc(out, func(d broker.Document) bool { return d.Removed }), nil
		}
	}
}

// Next returns the nominal times of the next n ticks of a schedule, in its zone, whether or not it is paused; fewer if it ends. See
// [Definition.Next] for a definition that is not stored.
func (s *Scheduler) Next(ctx context.Context, name string, n int) ([]time.Time, error) {
	x, now, err := s.found(ctx, name)
	if err == nil {
		err = x.err
	}
	if err != nil {
		return nil, err
	}
	if x.def.Runs > 0 {
		n = min(n, x.def.Runs-x.Runs)
	}
	return x.tt.list(moment(max(x.Last, now)), n), nil
}

// TickInfo is a tick in the history of a schedule.
type TickInfo struct {
	Nominal time.Time // the moment at which it was due; of a range of ticks the first one
	Until   time.Time // of a range of ticks that did not run: the last one; else zero
	Kind    Kind
	Result  Result
	Why     string       // why it did not run
	ID      task.ID      // its task; zero if it did not run
	Decided time.Time    // by the broker's clock
	State   broker.State // of its task; StateUnknown if it did not run, or if that is not known any more
}

// public returns a run for callers.
func (r *run) public() TickInfo {
	out := TickInfo{Nominal: moment(r.Nominal), Until: moment(r.Until), Kind: r.Kind, Result: r.Result, Why: r.Why, ID: r.ID, Decided: moment(r.At), State: r.State}
	if r.Result != ResultSubmitted {
		out.ID = task.ID{}
	}
	return out
}

// History returns the last MaxHistory ticks of a schedule that have ended or did not run, and then those that have not ended or wait,
// in the order in which they were decided. The state of each task is the present one, as long as the broker knows it.
func (s *Scheduler) History(ctx context.Context, name string) ([]TickInfo, error) {
	x, _, err := s.found(ctx, name)
	if err != nil {
		return nil, err
	}
	var out []TickInfo
	add := func(list []run, waiting bool) {
		for _, r := range list {
			if waiting {
				r.Result = ResultWaiting
			}
			out = append(out, r.public())
		}
	}
	add(x.history(), false)
	add(x.Open, false)
	add(x.Intents, false)
	add(x.Waiting, true)
	slices.SortStableFunc(out, func(a, b TickInfo) int { return a.Decided.Compare(b.Decided) })
	var ids []task.ID
	for _, r := range out {
		if !r.ID.IsZero() {
			ids = append(ids, r.ID)
		}
	}
	states, err := s.states(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", name, err)
	}
	for i := range out {
		if state := states[out[i].ID]; state != broker.StateUnknown {
			out[i].State = state
		}
	}
	return out, nil
}

// stop kills the open runs that a later tick replaces.
func (s *Scheduler) stop(ctx context.Context, x *stored) error {
	var ids []task.ID
	for _, r := range x.Open {
		if r.Stop {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return again(ctx, func() error {
		_, err := s.b.Cancel(ctx, ids)
		return err
	})
}

// states looks up the states of tasks.
func (s *Scheduler) states(ctx context.Context, ids []task.ID) (states map[broker.ID]broker.State, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = again(ctx, func() error {
		found, err := s.b.Lookup(ctx, ids)
		if err != nil {
			return err
		}
		states = make(map[broker.ID]broker.State, len(found))
		for _, st := range found {
			if st.Err == nil { // else it is not known whether it has ended
				states[st.ID] = st.State
			}
		}
		return nil
	})
	return states, err
}
