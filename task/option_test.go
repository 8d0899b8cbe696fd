package task_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// The targets that options are given to.
const (
	onCall    = "call"
	onHandler = "handler"
)

// seen is the effect of options on a target, as text, or the error that refuses them.
type seen struct {
	text string
	err  error
}

// targets apply options to each target.
var targets = map[string]func(...task.Option) seen{
	onCall: func(opts ...task.Option) seen {
		call := thumbTask.Bind(thumbArgs{}).With(opts...)
		request.Spread([]task.Bound{thumbTask.Bind(thumbArgs{}).With(opts...), call}) // as if the two were sent together
		record, err := call.Request().Prepare(codec.Msgpack(), time.UnixMilli(1_000_000))
		if err != nil {
			return seen{err: err}
		}
		inherit, waits := call.Request().Settings().Inherit, call.Request().WaitsForRoom()
		crossed := request.Prepared(record, inherit, waits) // as a minion gets the call from a handler in a child process
		again, err := crossed.Prepare(codec.Msgpack(), time.UnixMilli(1_000_000))
		if err != nil || !reflect.DeepEqual(again, record) || crossed.Settings().Inherit != inherit || crossed.WaitsForRoom() != waits {
			return seen{err: fmt.Errorf("request.Prepared loses a part of the call: %+v, want %+v, error %w", again, record, err)}
		}
		record.ID = task.ID{}
		return seen{text: fmt.Sprintf("%+v, inherits %v, waits for room %v", *record, inherit, waits)}
	},
	onHandler: func(opts ...task.Option) seen {
		var r registrations
		err := task.HandleFunc(&r, "t", func(context.Context, codec.Arguments) (any, error) { return nil, nil }, opts...)
		if err != nil {
			return seen{err: err}
		}
		s := r[0].Settings
		wait := time.Duration(-1)
		if s.Backoff != nil {
			wait = s.Backoff(1, nil)
		}
		return seen{text: fmt.Sprint(s.Retries, s.Timeout, s.Isolated, s.Schema, s.Slots, wait, s.OnError != nil)}
	},
}

// registrations is a registrar that records the registrations.
type registrations []task.Registration

func (r *registrations) Register(handlers ...task.Registration) error {
	for _, reg := range handlers {
		if reg.Err != nil {
			return reg.Err
		}
	}
	*r = append(*r, handlers...)
	return nil
}

// optionCases has every option, the targets on which it has an effect, and the option that removes it.
var optionCases = []struct {
	name   string
	option task.Option
	undo   task.Option // nil if no option removes it
	counts []string
}{
	{"Queue", task.Queue("fast"), task.Queue("images"), []string{onCall}},
	{"Timeout", task.Timeout(time.Second), nil, []string{onCall, onHandler}},
	{"Timeout", task.Timeout(0), nil, []string{onCall, onHandler}}, // overrides the timeout of the registered handler
	{"Slots", task.Slots(4), nil, []string{onCall, onHandler}},
	{"Slots", task.Slots(1), nil, []string{onCall, onHandler}}, // overrides the number of the registered handler
	{"Delay", task.Delay(time.Second), task.Delay(0), []string{onCall}},
	{"ETA", task.ETA(time.UnixMilli(2_000_000)), task.ETA(time.Time{}), []string{onCall}},
	{"WaitForRoom", task.WaitForRoom(), nil, []string{onCall}},
	{"Spread", task.Spread(time.Second), task.Spread(0), []string{onCall}},
	{"Within", task.Within(time.Second), task.Within(0), []string{onCall}},
	{"Deadline", task.Deadline(time.UnixMilli(2_000_000)), task.Deadline(time.Time{}), []string{onCall}},
	{"Retries", task.Retries(0), nil, []string{onCall, onHandler}},
	{"Retries", task.Retries(9), nil, []string{onCall, onHandler}},
	{"WithBackoff", task.WithBackoff(task.Constant(time.Minute)), task.WithBackoff(nil), []string{onHandler}},
	{"OnError", task.OnError(task.ErrIs(task.ErrPanic).NoRetry()), task.OnError(), []string{onHandler}},
	{"Retention", task.Retention(0), task.Retention(broker.DefaultRetention), []string{onCall}},
	{"DeadRetention", task.DeadRetention(0), task.DeadRetention(broker.DefaultDeadRetention), []string{onCall}},
	{"Unique", task.Unique("key"), task.Unique(""), []string{onCall}},
	{"UniqueIn", task.UniqueIn("scope", "key"), task.Unique(""), []string{onCall}},
	{"UniqueIn", task.UniqueIn("thumb", "key"), task.UniqueIn("x", ""), []string{onCall}},
	{"UniqueArgs", task.UniqueArgs(), task.Unique(""), []string{onCall}},
	{"UniqueFor", task.UniqueFor(time.Hour), task.UniqueUntilDone(), []string{onCall}},
	{"UniqueUntilStart", task.UniqueUntilStart(), task.UniqueUntilDone(), []string{onCall}},
	{"OnConflict", task.OnConflict(task.ConflictReplace), task.OnConflict(task.ConflictRefuse), []string{onCall}},
	{"ConflictMaxAge", task.ConflictMaxAge(time.Hour), task.ConflictMaxAge(0), []string{onCall}},
	{"Meta", task.Meta("k", "v"), task.NoMeta("k"), []string{onCall}},
	{"Meta", task.Meta("k", "v"), task.NoMeta(), []string{onCall}},
	{"Inherit", task.Inherit(), task.Detach(), []string{onCall}},
	{"Isolated", task.Isolated(), task.InProcess(), []string{onHandler}},
	{"Schema", task.Schema(7), task.Schema(0), []string{onCall, onHandler}},
	{"Priority", task.Priority(7), task.Priority(broker.DefaultPriority), []string{onCall}},
	{"FairKey", task.FairKey("acme"), task.NoLane(), []string{onCall}},
	{"FairKeyFrom", task.FairKeyFrom(func(thumbArgs) string { return "acme" }), task.NoLane(), []string{onCall}},
	{"Sequence", task.Sequence("acme"), task.NoLane(), []string{onCall}},
	{"SequenceFrom", task.SequenceFrom(func(thumbArgs) string { return "acme" }), task.NoLane(), []string{onCall}},
	{"Limit", task.Limit("mail"), task.NoLane(), []string{onCall}},
}

// optionNeeds are the options without which those of a unique key are refused.
var optionNeeds = map[string][]task.Option{
	"UniqueFor":        {task.Unique("key")},
	"UniqueUntilStart": {task.UniqueArgs()},
	"OnConflict":       {task.Unique("key")},
	"ConflictMaxAge":   {task.Unique("key"), task.OnConflict(task.ConflictLatest)},
}

// otherOptions are the options that remove others, which optionCases has as undo, and Invalid and the options of options, which
// have tests of their own.
var otherOptions = []string{"Detach", "InProcess", "Invalid", "NoMeta", "NoLane", "UniqueUntilDone", "StopOnFailure", "KeyedBy", "KeyedFrom", "Costs", "CostsFrom"}

// On each target an option has an effect, or is refused by an error that names it. Its effect can be
// removed again.
func TestOptionsCountOrAreRefused(t *testing.T) {
	for _, tt := range optionCases {
		for where, give := range targets {
			give := func(opts ...task.Option) seen {
				if where == onCall {
					opts = slices.Concat(optionNeeds[tt.name], opts)
				}
				return give(opts...)
			}
			plain, with := give(), give(tt.option)
			if plain.err != nil {
				t.Fatal(where, plain.err)
			}
			if !slices.Contains(tt.counts, where) {
				if !errors.Is(with.err, task.ErrInvalid) || !strings.Contains(with.err.Error(), tt.name+" has no effect") {
					t.Errorf("%s on a %s: error %v, want ErrInvalid that names it", tt.name, where, with.err)
				}
				continue
			}
			if with.err != nil || with.text == plain.text {
				t.Errorf("%s on a %s has no effect: %q, error %v", tt.name, where, with.text, with.err)
			}
			if tt.undo == nil {
				continue
			}
			if undone := give(tt.option, tt.undo); undone.err != nil || undone.text != plain.text {
				t.Errorf("%s on a %s, removed again: %q, error %v; want %q", tt.name, where, undone.text, undone.err, plain.text)
			}
		}
	}
	names := make(map[string]bool)
	for _, tt := range optionCases {
		names[tt.name] = true
	}
	for _, name := range otherOptions {
		names[name] = true
	}
	if all, err := optionlist.In("."); err != nil || !slices.Equal(slices.Sorted(maps.Keys(names)), all) {
		t.Errorf("the table has the options %v, the package has %v (error %v)", slices.Sorted(maps.Keys(names)), all, err)
	}
}

// A handle may be defined with options for calls and for handlers. If an option for handlers is added
// later, the handle is for registering only.
func TestOptionsOfHandles(t *testing.T) {
	fn := func(context.Context, thumbArgs) ([]byte, error) { return nil, nil }
	backoff := task.WithBackoff(task.Constant(time.Minute))

	both := task.Define[thumbArgs, []byte]("both", backoff, task.Isolated(), task.Queue("q"))
	var r registrations
	if err := task.Handle(&r, both, fn); err != nil {
		t.Error(err)
	}
	if err := both.With(task.Retries(1)).Bind(thumbArgs{}).Request().Check(); err != nil {
		t.Error("a call of a handle that was defined with a backoff:", err)
	}

	for name, option := range map[string]task.Option{"WithBackoff": backoff, "Isolated": task.Isolated(), "InProcess": task.InProcess()} {
		registered := thumbTask.With(option)
		if err := task.Handle(&r, registered, fn); err != nil {
			t.Errorf("%s on a handle that is registered: error %v", name, err)
		}
		for what, req := range map[string]*request.Request{
			"a call of a handle with it": registered.Bind(thumbArgs{}).Request(),
			"a step of a handle with it": task.NewStep[[]byte](registered, "upstream", nil).Unbound(),
			"a call":                     thumbTask.Bind(thumbArgs{}).With(option).Request(),
			"a step":                     task.NewStep[[]byte](thumbTask, "upstream", nil).With(option).Unbound(),
			"a request":                  task.Named("t", task.Args(), option).Request(),
			"a pipe":                     task.Then(thumbTask.Bind(thumbArgs{}), task.NewStep[[]byte](thumbTask, "upstream", nil)).With(option).Request(),
		} {
			err := req.Check()
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), name+" has no effect on a call") || !strings.Contains(err.Error(), "task.Define") {
				t.Errorf("%s on %s: error %v, want ErrInvalid that says that it has no effect", name, what, err)
			}
		}
	}
	if last := r[len(r)-1]; last.Name != thumbTask.Name() {
		t.Errorf("the last registration is of task %s, want %s", last.Name, thumbTask.Name())
	}
}

// A function that returns an option can report that it can't be made.
func TestInvalid(t *testing.T) {
	errUser := errors.New("no such tenant")
	for where, give := range targets {
		for _, err := range []error{errUser, fmt.Errorf("%w option: %w", task.ErrInvalid, errUser)} {
			got := give(task.Queue("q"), task.Invalid(err), task.Retries(-1)).err
			if where == onHandler { // Queue has no effect there
				got = give(task.Invalid(err), task.Retries(-1)).err
			}
			if !errors.Is(got, errUser) || !errors.Is(got, task.ErrInvalid) || strings.Count(got.Error(), "invalid") != 1 {
				t.Errorf("Invalid on a %s: error %v, want %v that wraps ErrInvalid", where, got, errUser)
			}
		}
		if plain, with := give(), give(task.Invalid(nil)); with != plain {
			t.Errorf("Invalid(nil) on a %s: %+v, want %+v", where, with, plain)
		}
	}
	handle := task.Define[thumbArgs, []byte]("thumb", task.Invalid(errUser))
	if err := handle.Bind(thumbArgs{}).Request().Check(); !errors.Is(err, task.ErrInvalid) || !errors.Is(err, errUser) {
		t.Errorf("a call of a handle with Invalid: error %v, want %v that wraps ErrInvalid", err, errUser)
	}
}
