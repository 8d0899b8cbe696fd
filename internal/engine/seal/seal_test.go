package seal_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

func sealer(t *testing.T) codec.Sealer {
	t.Helper()
	c, err := codec.Encrypt(codec.Msgpack(), []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if c, err = codec.Hide(c); err != nil {
		t.Fatal(err)
	}
	return c.(codec.Sealer)
}

func id(n byte) broker.ID { return broker.ID{0: n, 15: n} }

func fullTask() broker.Task {
	return broker.Task{
		ID: id(1), Name: "pay", Queue: "q", Codec: "c", Payload: []byte("arguments"), Timeout: time.Second,
		Retries: 3, Retention: time.Minute, DeadFor: time.Hour, Unique: broker.Unique{Key: "pay/k"}, Meta: map[string]string{"a": "b"},
		Parent: id(2), Flow: broker.TaskFlow{ID: id(3), Step: 4}, Schema: 5,
	}
}

// unbound has the fields of a task that its seal does not include, and why.
var unbound = map[string]string{
	"Codec":        "it finds the key, and its name is in every seal",
	"Inbox":        "an attempt that sends the same has another one; whoever reads a push can read the state as well",
	"Delay":        "it is over when a task starts, and is no part of its record",
	"Deadline":     "the broker makes a point in time of it, by its clock",
	"Flow.Blocked": "the driver takes it away",
	"Flow.Squad":   "a requeue takes it away; it says when the task starts, and not what",
	"Lane":         "it says when the task starts, and not what; the broker decides that, and can't be forced",
	"Bounded":      "it is for the broker that stores the task, and is no part of its record",
	"Enqueued":     "it is for display only, and it differs when the same task is sent again",
}

// TestTaskIsBound changes each field of a task: its arguments can't be opened then. A new field
// must either be in the seal, or in the table with a reason.
func TestTaskIsBound(t *testing.T) {
	s := sealer(t)
	base := fullTask()
	if err := seal.Task(s, &base); err != nil {
		t.Fatal(err)
	}
	if args, meta, err := seal.Open(s, &base); err != nil || string(args) != "arguments" || !maps.Equal(meta, fullTask().Meta) {
		t.Fatalf("%q, %v, %v", args, meta, err)
	}
	for _, f := range taskFields() {
		changed := base
		switch v := reflect.ValueOf(&changed).Elem().FieldByIndex(f.Index).Addr().Interface().(type) {
		case *broker.ID:
			v[3]++
		case *string:
			*v += "x"
		case *[]byte:
			*v = append([]byte(nil), *v...)
			(*v)[len(*v)-1]++
		case *map[string]string:
			*v = map[string]string{"a": "c"}
		case *time.Duration:
			*v += time.Second
		case *bool:
			*v = !*v
		case *time.Time:
			*v = v.Add(time.Hour)
		case *int:
			*v++
		case **broker.Lane:
			*v = &broker.Lane{Priority: 9}
		case *uint32:
			*v++
		case *broker.Conflict:
			*v++
		case *uint64:
			*v++
		default:
			t.Fatalf("%s is a %T: let this test change it", f.Name, v)
		}
		_, _, err := seal.Open(s, &changed)
		if why, free := unbound[f.Name]; free != (err == nil) {
			t.Errorf("with another %s: %v; said to be free: %q", f.Name, err, why)
		}
		if err != nil && !errors.Is(err, codec.ErrForged) {
			t.Errorf("with another %s: %v, want ErrForged", f.Name, err)
		}
	}
}

// taskFields returns the fields of a task, and those of its Flow and Unique in place of these two.
func taskFields() (fields []reflect.StructField) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[broker.Task]()) {
		if f.Type != reflect.TypeFor[broker.TaskFlow]() && f.Type != reflect.TypeFor[broker.Unique]() {
			fields = append(fields, f)
			continue
		}
		for _, inner := range reflect.VisibleFields(f.Type) {
			inner.Name, inner.Index = f.Name+"."+inner.Name, append(slices.Clone(f.Index), inner.Index...)
			fields = append(fields, inner)
		}
	}
	return fields
}

// TestRecordIsStoredAsSealed stores and reads records: they open, although a store rounds
// durations.
func TestRecordIsStoredAsSealed(t *testing.T) {
	s := sealer(t)
	in := fullTask()
	in.Timeout, in.Retention, in.DeadFor = 1500*time.Nanosecond, time.Minute+time.Microsecond, time.Hour+time.Nanosecond
	if err := seal.Task(s, &in); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*broker.Task){
		"rounded": func(*broker.Task) {}, "no timeout": func(t *broker.Task) { t.Timeout = broker.NoTimeout },
		"no metadata": func(t *broker.Task) { t.Meta = nil }, "empty metadata": func(t *broker.Task) { t.Meta = map[string]string{} },
		"defaults": func(t *broker.Task) {
			t.Retention, t.DeadFor, t.Retries = broker.DefaultRetention, broker.DefaultDeadRetention, -1
		},
	} {
		in := fullTask()
		in.Timeout, in.Retention, in.DeadFor = 1500*time.Nanosecond, time.Minute+time.Microsecond, time.Hour+time.Nanosecond
		change(&in)
		if err := seal.Task(s, &in); err != nil {
			t.Fatal(err)
		}
		var d broker.Delivery
		if err := wire.ParseRecord(&d, wire.AppendRecord(nil, &in), 0); err != nil {
			t.Fatal(err)
		}
		d.Queue = in.Queue
		if args, _, err := seal.Open(s, &d.Task); err != nil || string(args) != "arguments" {
			t.Errorf("%s: %q, %v", name, args, err)
		}
	}
}

// TestOutcomeIsBound checks that an outcome is accepted only for its task, in its state.
func TestOutcomeIsBound(t *testing.T) {
	s := sealer(t)
	codecs := []codec.Codec{s}
	for what, o := range map[string]broker.Outcome{
		"result":  {State: broker.StateSucceeded, Name: "pay", Result: []byte("result")},
		"none":    {State: broker.StateSucceeded, Name: "pay"},
		"failure": {State: broker.StateFailed, Name: "pay", Err: &broker.Failure{Type: "t", Message: "secret", Stack: "s", Chain: []string{"c"}, Codes: []string{"k"}, Final: true}},
	} {
		stored := o
		if err := seal.Outcome(s, id(1), &stored); err != nil {
			t.Fatal(err)
		}
		back, err := wire.ParseOutcome(wire.AppendOutcome(nil, &stored))
		if err != nil {
			t.Fatal(err)
		}
		open, err := seal.OpenOutcome(codecs, id(1), &back)
		if err != nil || string(open.Result) != string(o.Result) || !reflect.DeepEqual(open.Err, o.Err) {
			t.Errorf("%s: %+v, %v", what, open.Outcome, err)
		}
		for change, forge := range map[string]func(o *broker.Outcome) broker.ID{
			"another task": func(*broker.Outcome) broker.ID { return id(2) },
			"another name": func(o *broker.Outcome) broker.ID { o.Name = "steal"; return id(1) },
			"as success": func(o *broker.Outcome) broker.ID {
				if o.State == broker.StateSucceeded {
					return id(3)
				}
				o.State, o.Result, o.Err = broker.StateSucceeded, o.Err.Seal, nil
				return id(1)
			},
			"as failure": func(o *broker.Outcome) broker.ID {
				if o.State == broker.StateFailed {
					return id(3)
				}
				o.State, o.Err, o.Result = broker.StateFailed, &broker.Failure{Message: "x", Seal: o.Result}, nil
				return id(1)
			},
			"other text": func(o *broker.Outcome) broker.ID {
				if o.Err == nil {
					return id(3)
				}
				f := *o.Err
				f.Message += "!"
				o.Err = &f
				return id(1)
			},
			"no seal": func(o *broker.Outcome) broker.ID {
				o.Result = nil
				if o.Err != nil {
					o.Err = &broker.Failure{Message: "x"}
				}
				return id(1)
			},
			"plain": func(o *broker.Outcome) broker.ID { o.Codec = "msgpack"; return id(1) },
		} {
			forged := stored
			whose := forge(&forged)
			if _, err := seal.OpenOutcome(codecs, whose, &forged); !errors.Is(err, codec.ErrForged) && !errors.Is(err, codec.ErrUnknownCodec) {
				t.Errorf("%s, %s: %v", what, change, err)
			}
		}
	}
}

// TestFailureWithoutCodec checks failures of groups and pipes without a seal, which name no
// codec since they have no result. Codecs that accept plain records beside sealed ones read
// them. Codecs that accept only sealed records refuse them.
func TestFailureWithoutCodec(t *testing.T) {
	s, plain := sealer(t), codec.Msgpack()
	o := &broker.Outcome{State: broker.StateFailed, Name: "group", Err: &broker.Failure{Message: "bad"}}
	for _, codecs := range [][]codec.Codec{{plain}, {plain, s}, {s, plain}} {
		if open, err := seal.OpenOutcome(codecs, id(1), o); err != nil || open.Outcome != o {
			t.Errorf("%d codecs: %+v, %v", len(codecs), open, err)
		}
	}
	if _, err := seal.OpenOutcome([]codec.Codec{s}, id(1), o); !errors.Is(err, codec.ErrUnknownCodec) {
		t.Errorf("a failure without a seal is accepted: %v", err)
	}
}

// TestEndsWithoutASeal checks that canceled and expired outcomes are accepted without a seal,
// but no result or error in them.
func TestEndsWithoutASeal(t *testing.T) {
	s := sealer(t)
	for _, state := range []broker.State{broker.StateCanceled, broker.StateExpired} {
		for _, name := range []string{"", s.Name(), "msgpack"} {
			for _, o := range []broker.Outcome{
				{State: state, Codec: name},
				{State: state, Codec: name, Result: []byte("made up")},
				{State: state, Codec: name, Err: &broker.Failure{Message: "made up"}},
				{State: state, Codec: name, Result: []byte("made up"), Err: &broker.Failure{Message: "made up", Seal: []byte("made up")}},
			} {
				open, err := seal.OpenOutcome([]codec.Codec{s}, id(1), &o)
				if err != nil || open.State != state || open.Err != nil || len(open.Result) > 0 {
					t.Errorf("%+v is opened as %+v, %v", o, open.Outcome, err)
				}
			}
		}
	}
}

// TestFlowIsBound changes each part of a group or pipe that its driver relies on: its seal
// can't be opened then.
func TestFlowIsBound(t *testing.T) {
	s := sealer(t)
	group := broker.NewID(broker.KindGroup, "", 0)
	f := broker.Flow{ID: group, Size: 2, Quorum: 2, Callback: id(5), Finalizer: id(6), Group: id(7), Step: 3, Inbox: id(8), Retention: time.Hour}
	members := []broker.ID{id(1), id(2)}
	if err := seal.Flow(s, &f, members); err != nil {
		t.Fatal(err)
	}
	codecs := []codec.Codec{s}
	if got, err := seal.OpenFlow(codecs, &f, members); err != nil || got == nil {
		t.Fatal(got, err)
	}
	for name, change := range map[string]func(f *broker.Flow, m []broker.ID){
		"id":        func(f *broker.Flow, _ []broker.ID) { f.ID[0]++ },
		"size":      func(f *broker.Flow, _ []broker.ID) { f.Size = 1 },
		"quorum":    func(f *broker.Flow, _ []broker.ID) { f.Quorum = 1 },
		"callback":  func(f *broker.Flow, _ []broker.ID) { f.Callback = id(9) },
		"finalizer": func(f *broker.Flow, _ []broker.ID) { f.Finalizer = broker.ID{} },
		"group":     func(f *broker.Flow, _ []broker.ID) { f.Group = id(9) },
		"step":      func(f *broker.Flow, _ []broker.ID) { f.Step = 4 },
		"member":    func(_ *broker.Flow, m []broker.ID) { m[1] = id(9) },
		"order":     func(_ *broker.Flow, m []broker.ID) { m[0], m[1] = m[1], m[0] },
		"no seal":   func(f *broker.Flow, _ []broker.ID) { f.Seal = "" },
		"plain":     func(f *broker.Flow, _ []broker.ID) { f.Seal = "msgpack\x00x" },
	} {
		f, m := f, []broker.ID{members[0], members[1]}
		change(&f, m)
		if _, err := seal.OpenFlow(codecs, &f, m); !errors.Is(err, codec.ErrForged) && !errors.Is(err, codec.ErrUnknownCodec) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// TestDirections checks that data sealed for one direction can't be opened for another.
func TestDirections(t *testing.T) {
	s := sealer(t)
	task := broker.Task{ID: id(1), Name: "pay", Queue: "q", Retries: -1, Payload: []byte("x")}
	if err := seal.Task(s, &task); err != nil {
		t.Fatal(err)
	}
	step := task
	step.Flow.Upstream = "up"
	if _, _, err := seal.Open(s, &step); !errors.Is(err, codec.ErrForged) {
		t.Errorf("arguments as those of a step: %v", err)
	}
	if _, err := seal.OpenEvent(s, "pay", task.Payload); !errors.Is(err, codec.ErrForged) {
		t.Errorf("arguments as an event: %v", err)
	}
	o := broker.Outcome{State: broker.StateSucceeded, Name: "pay", Codec: s.Name(), Result: task.Payload}
	if _, err := seal.OpenOutcome([]codec.Codec{s}, id(1), &o); !errors.Is(err, codec.ErrForged) {
		t.Errorf("arguments as a result: %v", err)
	}
	for _, c := range []codec.Codec{s, s.Plain()} { // the codec alone, as a user calls it
		data, err := c.AppendArgs(nil, codec.Arguments{})
		if err != nil {
			t.Fatal(err)
		}
		task.Payload = data
		if _, _, err := seal.Open(s, &task); !errors.Is(err, codec.ErrForged) {
			t.Errorf("%s by hand: %v", c.Name(), err)
		}
	}
}

// TestPlainCostsNothing checks that a codec that does not seal costs no allocation.
func TestPlainCostsNothing(t *testing.T) {
	codecs := []codec.Codec{codec.Msgpack()}
	o := &broker.Outcome{State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{1}}
	f := &broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0)}
	if n := testing.AllocsPerRun(100, func() {
		open, err := seal.OpenOutcome(codecs, id(1), o)
		if err != nil || open.Outcome != o || seal.Seals(f, codecs) || seal.Of(codecs[0]) != nil {
			t.Fatal(open, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestScheduleIsBound(t *testing.T) {
	s := sealer(t)
	codecs := []codec.Codec{s}
	data, err := seal.Schedule(s, "nightly", []byte("definition"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := seal.OpenSchedule(codecs, s.Name(), "nightly", data); err != nil || string(plain) != "definition" {
		t.Errorf("%q, %v", plain, err)
	}
	event, err := seal.Event(s, "nightly", []byte("definition"))
	if err != nil {
		t.Fatal(err)
	}
	for what, forged := range map[string]struct {
		sealer, name string
		data         []byte
	}{
		"another schedule": {s.Name(), "hourly", data},
		"an event":         {s.Name(), "nightly", event},
		"no seal":          {"", "nightly", []byte("definition")},
		"damaged":          {s.Name(), "nightly", append([]byte{data[0] ^ 1}, data[1:]...)},
	} {
		if _, err := seal.OpenSchedule(codecs, forged.sealer, forged.name, forged.data); !errors.Is(err, codec.ErrForged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := seal.OpenSchedule([]codec.Codec{codec.JSON()}, s.Name(), "nightly", data); !errors.Is(err, codec.ErrUnknownCodec) {
		t.Errorf("without the key: %v", err)
	}
	if plain, err := seal.OpenSchedule([]codec.Codec{codec.JSON()}, "", "nightly", []byte("definition")); err != nil || string(plain) != "definition" {
		t.Errorf("a plain one: %q, %v", plain, err)
	}
}
