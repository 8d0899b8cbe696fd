package task_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

var mailTask = task.Define[mailArgs, int]("mail")

// uniqueOf returns the unique key with its rule with which a request is stored.
func uniqueOf(t *testing.T, req *request.Request, c codec.Codec) broker.Unique {
	t.Helper()
	record, err := req.Prepare(c, time.UnixMilli(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if record.Unique.Key != "" && record.ID.Partition() != broker.KeyPartition(record.Unique.Key) {
		t.Error("the id of a task with a unique key is in another partition than the key")
	}
	return record.Unique
}

// The options that are given in a definition, on a handle and on a call make one rule, and later
// ones win.
func TestUniqueRule(t *testing.T) {
	for name, tt := range map[string]struct {
		define, call []task.Option
		want         broker.Unique
	}{
		"none":       {nil, nil, broker.Unique{}},
		"key":        {[]task.Option{task.Unique("a")}, []task.Option{task.Unique("b")}, broker.Unique{Key: "mail/b"}},
		"scope":      {[]task.Option{task.Unique("a")}, []task.Option{task.UniqueIn("s", "b")}, broker.Unique{Key: "s/b"}},
		"key again":  {[]task.Option{task.UniqueIn("s", "a")}, []task.Option{task.Unique("b")}, broker.Unique{Key: "mail/b"}},
		"after args": {[]task.Option{task.UniqueArgs()}, []task.Option{task.Unique("b")}, broker.Unique{Key: "mail/b"}},
		"all": {
			[]task.Option{task.Unique("a"), task.UniqueFor(time.Hour), task.UniqueUntilStart()},
			[]task.Option{task.OnConflict(task.ConflictReplace), task.ConflictMaxAge(time.Minute)},
			broker.Unique{Key: "mail/a", For: time.Hour, UntilStart: true, OnConflict: broker.ConflictReplace, MaxAge: time.Minute},
		},
		"latest": {
			[]task.Option{task.OnConflict(task.ConflictLatest)}, []task.Option{task.Unique("a")},
			broker.Unique{Key: "mail/a", OnConflict: broker.ConflictLatest},
		},
		"cancel": {
			[]task.Option{task.OnConflict(task.ConflictCancel)}, []task.Option{task.Unique("a"), task.ConflictMaxAge(time.Minute)},
			broker.Unique{Key: "mail/a", OnConflict: broker.ConflictCancel, MaxAge: time.Minute},
		},
		"join is refused by the broker": {
			[]task.Option{task.Unique("a")}, []task.Option{task.OnConflict(task.ConflictJoin)}, broker.Unique{Key: "mail/a"},
		},
		"done": {
			[]task.Option{task.Unique("a"), task.UniqueFor(time.Hour), task.UniqueUntilStart()},
			[]task.Option{task.UniqueUntilDone()}, broker.Unique{Key: "mail/a"},
		},
		"removed": {
			[]task.Option{task.Unique("a"), task.UniqueFor(time.Hour), task.OnConflict(task.ConflictJoin)},
			[]task.Option{task.Unique("")}, broker.Unique{},
		},
	} {
		handle := task.Define[mailArgs, int]("mail", tt.define...)
		for how, req := range map[string]*request.Request{
			"handle": handle.With(tt.call...).Bind(mailArgs{}).Request(),
			"call":   handle.Bind(mailArgs{}).With(tt.call...).Request(),
		} {
			if got := uniqueOf(t, req, codec.Msgpack()); got != tt.want {
				t.Errorf("%s, options of the %s: %+v, want %+v", name, how, got, tt.want)
			}
		}
	}
}

// The key of arguments depends on their values alone: not on the codec, and not on whether they are
// in a struct or given by name. A codec that seals makes another key, which nobody else can make.
func TestUniqueArgs(t *testing.T) {
	key := func(c codec.Codec, call task.Bound) string {
		t.Helper()
		return uniqueOf(t, call.Request(), c).Key
	}
	sealing, err := codec.Encrypt(codec.Msgpack(), []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	acme := mailArgs{Tenant: "acme", Size: 3}
	named := func(size any, opts ...task.Option) task.Bound {
		return task.Named("mail", codec.Arguments{Named: map[string]any{"tenant": "acme", "size": size, "sum": 0}}, opts...)
	}
	some := mailTask.With(task.UniqueArgs("size", "tenant"))
	all := mailTask.With(task.UniqueArgs())
	// The key is a stored format: processes of different versions must make the same one.
	const stored = "mail/args:"
	want := key(codec.Msgpack(), some.Bind(acme))
	if scope, k := broker.SplitKey(want); scope != "mail" || !strings.HasPrefix(want, stored) || len(k) != len("args:")+32 {
		t.Errorf("the key is %q, want %s and 32 hexadecimal digits", want, stored)
	}
	for what, got := range map[string]string{
		"the same again":      key(codec.Msgpack(), some.Bind(acme)),
		"another order":       key(codec.Msgpack(), mailTask.With(task.UniqueArgs("tenant", "size")).Bind(acme)),
		"another rest":        key(codec.Msgpack(), some.Bind(mailArgs{Tenant: "acme", Size: 3, Sum: 9})),
		"another codec":       key(codec.JSON(), some.Bind(acme)),
		"by name":             key(codec.Msgpack(), named(3, task.UniqueArgs("size", "tenant"))),
		"another type":        key(codec.JSON(), named(uint8(3), task.UniqueArgs("size", "tenant"))),
		"options of the call": key(codec.Msgpack(), mailTask.Bind(acme).With(task.UniqueArgs("size", "tenant"))),
	} {
		if got != want {
			t.Errorf("%s: key %q, want %q", what, got, want)
		}
	}
	if got, want := key(codec.Msgpack(), named(3, task.UniqueArgs())), key(codec.JSON(), all.Bind(acme)); got != want {
		t.Errorf("all arguments by name have the key %q, and in a struct %q", got, want)
	}
	seen := map[string]string{want: "the first"}
	for what, got := range map[string]string{
		"another value":        key(codec.Msgpack(), some.Bind(mailArgs{Tenant: "acme", Size: 4})),
		"fewer parameters":     key(codec.Msgpack(), mailTask.With(task.UniqueArgs("size")).Bind(acme)),
		"all parameters":       key(codec.Msgpack(), all.Bind(acme)),
		"another task":         key(codec.Msgpack(), task.Define[mailArgs, int]("post", task.UniqueArgs("size", "tenant")).Bind(acme)),
		"a codec that seals":   key(sealing, some.Bind(acme)),
		"sealed, other values": key(sealing, some.Bind(mailArgs{Tenant: "acme", Size: 4})),
		"arguments in order":   key(codec.Msgpack(), task.Named("mail", codec.Arguments{Positional: []any{"acme", 3, 0}}, task.UniqueArgs())),
		"no arguments":         key(codec.Msgpack(), task.Named("mail", codec.Arguments{}, task.UniqueArgs())),
	} {
		if other, is := seen[got]; is {
			t.Errorf("%s: the key of %s, %q", what, other, got)
		}
		seen[got] = what
	}
	if first, second := key(sealing, some.Bind(acme)), key(sealing, some.Bind(acme)); first != second {
		t.Error("with a codec that seals, equal arguments have different keys")
	}

	// The key is that of the arguments at the first sending, like the arguments that are sent.
	given := map[string]any{"tenant": "acme"}
	call := task.Named("mail", codec.Arguments{Named: given}, task.UniqueArgs())
	before := key(codec.Msgpack(), call)
	given["tenant"] = "other"
	if after := key(codec.Msgpack(), call); after != before {
		t.Errorf("the key has changed from %q to %q with the arguments", before, after)
	}

	// The result of the step before is not a part of the key.
	step := task.NewStep[int](thumbTask.With(task.UniqueArgs("width")), "upstream", map[string]any{"width": 3})
	if got := uniqueOf(t, step.Unbound(), codec.Msgpack()).Key; got == "" {
		t.Error("a step has no key")
	}
}

// A rule that can't be kept is an error that names the option and the remedy.
func TestUniqueErrors(t *testing.T) {
	for _, tt := range []struct {
		opts []task.Option
		says string
	}{
		{[]task.Option{task.UniqueFor(time.Hour)}, "UniqueFor without a unique key"},
		{[]task.Option{task.UniqueUntilStart()}, "UniqueUntilStart without a unique key"},
		{[]task.Option{task.OnConflict(task.ConflictJoin)}, "OnConflict without a unique key"},
		{[]task.Option{task.ConflictMaxAge(time.Hour)}, "ConflictMaxAge without a unique key"},
		{[]task.Option{task.Unique("k"), task.UniqueFor(0)}, "UniqueFor(0s), want more than 0"},
		{[]task.Option{task.Unique("k"), task.UniqueFor(-1)}, "UniqueFor(-1ns)"},
		{[]task.Option{task.Unique("k"), task.UniqueFor(broker.MaxDuration + 1)}, "UniqueFor("},
		{[]task.Option{task.Unique("k"), task.OnConflict(task.ConflictJoin + 1)}, "OnConflict(5)"},
		{[]task.Option{task.Unique("k"), task.ConflictMaxAge(time.Hour)}, "ConflictMaxAge(1h0m0s) without OnConflict(ConflictReplace)"},
		{[]task.Option{task.Unique("k"), task.OnConflict(task.ConflictJoin), task.ConflictMaxAge(time.Hour)}, "no holder is replaced"},
		{[]task.Option{task.Unique("k"), task.OnConflict(task.ConflictReplace), task.ConflictMaxAge(-1)}, "ConflictMaxAge"},
		{[]task.Option{task.Unique(strings.Repeat("k", broker.MaxUniqueKey+1))}, "Unique: a key of 513 bytes"},
		{[]task.Option{task.UniqueIn("a/b", "k")}, "UniqueIn: "},
		{[]task.Option{task.UniqueArgs("seize")}, "seize"},
	} {
		for how, req := range map[string]*request.Request{
			"handle": mailTask.With(tt.opts...).Bind(mailArgs{}).Request(),
			"call":   mailTask.Bind(mailArgs{}).With(tt.opts...).Request(),
		} {
			_, err := req.Prepare(codec.Msgpack(), time.Now())
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "task mail") {
				t.Errorf("options of the %s: error %v, want ErrInvalid that names the task and says %q", how, err, tt.says)
			}
		}
	}
	positional := task.Named("mail", codec.Arguments{Positional: []any{"acme"}}, task.UniqueArgs("tenant"))
	if _, err := positional.Request().Prepare(codec.Msgpack(), time.Now()); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "give them by name") {
		t.Errorf("a parameter of arguments by position: %v", err)
	}
}

// A task of a pipe or group can't be another task, and can't wait behind one.
func TestConflictsInFlows(t *testing.T) {
	plain := mailTask.Bind(mailArgs{})
	for conflict, name := range map[task.Conflict]string{task.ConflictJoin: "ConflictJoin", task.ConflictLatest: "ConflictLatest", task.ConflictCancel: "ConflictCancel"} {
		opts := []task.Option{task.Unique("k"), task.OnConflict(conflict)}
		call := plain.With(opts...)
		step := task.NewStep[[]byte](thumbTask, "upstream", map[string]any{"width": 3}).With(opts...)
		group := func(s request.GroupSettings, members ...task.Call[int]) *request.Request {
			var reqs []*request.Request
			for _, m := range members {
				reqs = append(reqs, m.Request())
			}
			return request.Group(reqs, s)
		}
		for where, req := range map[string]*request.Request{
			"first step": task.Then(task.Define[mailArgs, []byte]("mail", opts...).Bind(mailArgs{}), task.NewStep[[]byte](thumbTask, "upstream", map[string]any{"width": 3})).Request(),
			"last step":  task.Then(task.Define[mailArgs, []byte]("mail").Bind(mailArgs{}), step).Request(),
			"member":     group(request.GroupSettings{}, plain, call),
			"callback":   group(request.GroupSettings{Callback: call.Request()}, plain),
			"finalizer":  group(request.GroupSettings{Finalizer: call.Request()}, plain),
			"all":        group(request.GroupSettings{}, plain).With(func(s *request.Settings) { s.Unique.OnConflict = conflict }),
		} {
			if err := req.Check(); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s as a %s: error %v, want ErrInvalid that names it", name, where, err)
			}
		}
	}
	replacing := plain.With(task.Unique("k"), task.OnConflict(task.ConflictReplace), task.UniqueFor(time.Hour))
	if err := request.Group([]*request.Request{replacing.Request()}, request.GroupSettings{}).Check(); err != nil {
		t.Errorf("ConflictReplace as a member: %v", err)
	}
}

func newID() task.ID { return broker.NewID(broker.KindTask, task.DefaultQueue, 0) }

// refuser refuses calls with the error of their index, or nil.
type refuser struct {
	task.Submitter
	errs []error
}

func (s *refuser) Submit(_ context.Context, calls ...task.Bound) error {
	e := &task.SubmitError{Total: len(calls)}
	for i, c := range calls {
		if _, err := c.Request().Prepare(codec.Msgpack(), time.Now()); err != nil {
			return err
		}
		if s.errs[i] != nil {
			e.Failed = append(e.Failed, task.FailedCall{Index: i, Err: s.errs[i]})
		}
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return e
}

// A call that joins gets the future of the holder, alone and in a batch. Other errors stay.
func TestJoin(t *testing.T) {
	holder := newID()
	taken := &task.DuplicateError{ID: newID(), Holder: holder, Key: "mail/k", Name: "mail"}
	other := &task.DuplicateError{ID: newID(), Holder: holder, Key: "mail/k", Name: "post"}
	unnamed := &task.DuplicateError{ID: newID(), Holder: holder, Key: "mail/k"}
	sameID := &task.DuplicateError{ID: holder, Holder: holder}
	joins := mailTask.With(task.Unique("k"), task.OnConflict(task.ConflictJoin))
	refuses := mailTask.With(task.Unique("k"))
	one := func(handle task.Task[mailArgs, int], err error) (task.ID, error) {
		fut, err := handle.Apply(context.Background(), &refuser{errs: []error{err}}, mailArgs{})
		if err != nil {
			return task.ID{}, err
		}
		return fut.ID(), nil
	}
	if id, err := one(joins, taken); id != holder || err != nil {
		t.Errorf("a call that joins: %s, %v; want the task %s", id, err, holder)
	}
	if id, err := one(joins, nil); id == holder || id.IsZero() || err != nil {
		t.Errorf("a call whose key is free: %s, %v", id, err)
	}
	for what, tt := range map[string]struct {
		handle task.Task[mailArgs, int]
		err    error
		says   string
	}{
		"without the option":  {refuses, taken, ""},
		"another name":        {joins, other, "can't be joined, since its name is post and not mail"},
		"a name not known":    {joins, unnamed, "not known"},
		"the id is taken":     {joins, sameID, ""},
		"another error":       {joins, broker.ErrUnavailable, ""},
		"an unknown outcome":  {joins, fmt.Errorf("%w, %w", broker.ErrIndeterminate, taken), ""},
		"the call is invalid": {joins.With(task.Queue("a b")), nil, "a b"},
	} {
		id, err := one(tt.handle, tt.err)
		if !id.IsZero() || err == nil || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %s, error %v, want one that wraps %v and says %q", what, id, err, tt.err, tt.says)
		}
	}

	calls := []task.Call[int]{joins.Bind(mailArgs{}), refuses.Bind(mailArgs{}), joins.Bind(mailArgs{}), mailTask.Bind(mailArgs{}), joins.Bind(mailArgs{})}
	futs, err := task.SendAll(context.Background(), &refuser{errs: []error{taken, taken, other, nil, taken}}, calls...)
	var sub *task.SubmitError
	if !errors.As(err, &sub) || len(sub.Failed) != 2 || sub.Failed[0].Index != 1 || sub.Failed[1].Index != 2 || sub.Total != 5 {
		t.Fatalf("SendAll: error %v, want that the calls 1 and 2 failed", err)
	}
	for i, want := range []task.ID{holder, calls[1].Request().ID(), calls[2].Request().ID(), calls[3].Request().ID(), holder} {
		if i != 1 && i != 2 && futs[i].ID() != want {
			t.Errorf("SendAll: future %d is that of %s, want %s", i, futs[i].ID(), want)
		}
	}
	if futs, err := task.SendAll(context.Background(), &refuser{errs: []error{taken}}, joins.Bind(mailArgs{})); err != nil || futs[0].ID() != holder {
		t.Errorf("SendAll of a call that joins: %v", err)
	}
}

// The error of a replaced task is that of a canceled one, and says which task has replaced it.
func TestReplacedError(t *testing.T) {
	id, by := newID(), newID()
	for _, name := range []string{"mail", ""} {
		err := fmt.Errorf("x: %w", &task.ReplacedError{ID: id, Name: name, By: by})
		var replaced *task.ReplacedError
		if !errors.Is(err, task.ErrCanceled) || !errors.As(err, &replaced) || replaced.By != by {
			t.Error(err)
		}
		for _, part := range []string{name, id.String(), by.String(), "replaced"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
}
