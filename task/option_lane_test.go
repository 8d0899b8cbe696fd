package task_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

type mailArgs struct {
	Tenant string `arbiter:"tenant"`
	Size   int    `arbiter:"size"`
	Sum    int    `arbiter:"sum"`
}

var (
	tenantOf = func(a mailArgs) string { return a.Tenant }
	sizeOf   = func(a mailArgs) int { return a.Size }
)

// laneOf returns the lane with which a request is stored.
func laneOf(t *testing.T, req *request.Request) *broker.Lane {
	t.Helper()
	record, err := req.Prepare(codec.Msgpack(), time.UnixMilli(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if record.Lane != nil && record.ID.Partition() != broker.LanePartition {
		t.Errorf("the id of a task with a lane is in partition %d, want %d", record.ID.Partition(), broker.LanePartition)
	}
	return record.Lane
}

// The options that are given in a definition, on a handle and on a call make one lane, and later ones win. A call without any
// of them, or with their defaults, is an ordinary task.
func TestLane(t *testing.T) {
	charge := func(limit, key string, cost uint32) broker.Charge {
		return broker.Charge{Limit: limit, Key: key, Cost: cost}
	}
	args := mailArgs{Tenant: "acme", Size: 3}
	for name, tt := range map[string]struct {
		define, call []task.Option
		want         *broker.Lane
	}{
		"none":            {nil, nil, nil},
		"defaults":        {[]task.Option{task.Priority(7)}, []task.Option{task.Priority(5)}, nil},
		"lowest":          {[]task.Option{task.Priority(0)}, nil, &broker.Lane{Priority: 0}},
		"priority":        {[]task.Option{task.Priority(7)}, []task.Option{task.Priority(9)}, &broker.Lane{Priority: 9}},
		"fair":            {[]task.Option{task.FairKey("a")}, nil, &broker.Lane{Priority: 5, Key: "a"}},
		"fair from":       {[]task.Option{task.FairKey("a"), task.FairKeyFrom(tenantOf)}, nil, &broker.Lane{Priority: 5, Key: "acme"}},
		"fair after from": {[]task.Option{task.FairKeyFrom(tenantOf)}, []task.Option{task.FairKey("a")}, &broker.Lane{Priority: 5, Key: "a"}},
		"from at call":    {nil, []task.Option{task.FairKeyFrom(tenantOf)}, &broker.Lane{Priority: 5, Key: "acme"}},
		"sequence": {
			[]task.Option{task.SequenceFrom(tenantOf, task.StopOnFailure(), nil)}, nil,
			&broker.Lane{Priority: 5, Sequence: "acme", StopOnFailure: true},
		},
		"sequence that goes on": {
			[]task.Option{task.Sequence("a", task.StopOnFailure())}, []task.Option{task.Sequence("b")}, &broker.Lane{Priority: 5, Sequence: "b"},
		},
		"limits": {
			[]task.Option{
				task.Limit("mail", task.KeyedFrom(tenantOf), task.CostsFrom(sizeOf)), task.Limit("api"),
				task.Limit("disk", task.KeyedBy("a"), task.Costs(broker.MaxCost), nil),
			},
			[]task.Option{task.Limit("api", task.Costs(2))},
			&broker.Lane{Priority: 5, Limits: []broker.Charge{charge("mail", "acme", 3), charge("api", "", 2), charge("disk", "a", broker.MaxCost)}},
		},
		"all": {
			[]task.Option{task.Priority(1), task.FairKey("f"), task.Sequence("s")}, []task.Option{task.Limit("mail")},
			&broker.Lane{Priority: 1, Key: "f", Sequence: "s", Limits: []broker.Charge{charge("mail", "", 1)}},
		},
		"removed": {
			[]task.Option{task.Priority(1), task.FairKeyFrom(tenantOf), task.Sequence("s", task.StopOnFailure()), task.Limit("mail")},
			[]task.Option{task.NoLane()}, nil,
		},
		"removed and given again": {
			[]task.Option{task.FairKeyFrom(tenantOf)}, []task.Option{task.NoLane(), task.Priority(1)}, &broker.Lane{Priority: 1},
		},
	} {
		handle := task.Define[mailArgs, task.None]("mail", tt.define...)
		for how, req := range map[string]*request.Request{
			"handle": handle.With(tt.call...).Bind(args).Request(),
			"call":   handle.Bind(args).With(tt.call...).Request(),
		} {
			if got := laneOf(t, req); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s, options of the %s: lane %+v, want %+v", name, how, got, tt.want)
			}
		}
	}
	handle := task.Define[mailArgs, task.None]("mail", task.Limit("mail", task.KeyedFrom(tenantOf)))
	_ = handle.Bind(args).With(task.Limit("mail", task.KeyedBy("other")), task.Priority(9))
	if got := laneOf(t, handle.Bind(args).Request()); got.Priority != 5 || got.Limits[0].Key != "acme" {
		t.Errorf("the options of one call have changed another one: %+v", got)
	}
}

// A key that depends on the arguments is made when they are bound: also for steps, and not again when the call is sent.
func TestLaneFromArgs(t *testing.T) {
	type boxArgs struct {
		Box *mailArgs `arbiter:"box"`
	}
	box := &mailArgs{Tenant: "acme"}
	call := task.Define[boxArgs, task.None]("box", task.FairKeyFrom(func(a boxArgs) string { return a.Box.Tenant })).Bind(boxArgs{box})
	box.Tenant = "other"
	if got := laneOf(t, call.Request()); got.Key != "acme" {
		t.Errorf("key %q, want that of the arguments when they were bound", got.Key)
	}

	handle := task.Define[mailArgs, task.None]("mail", task.FairKeyFrom(tenantOf), task.Limit("mail", task.CostsFrom(sizeOf)))
	step := task.NewStep[int](handle, "sum", map[string]any{"tenant": "acme", "size": 7})
	for name, req := range map[string]*request.Request{
		"step":             step.Unbound(),
		"step with option": step.With(task.Retries(3)).Unbound(),
		"bound step":       step.Bind(1).Request(),
	} {
		if got := laneOf(t, req); got.Key != "acme" || got.Limits[0].Cost != 7 {
			t.Errorf("%s: lane %+v, want the key and cost of its arguments", name, got)
		}
	}
	pipe := task.Then(task.Define[thumbArgs, int]("first").Bind(thumbArgs{}), step).With(task.Priority(8))
	members := pipe.Request().Flow().Members
	if first, second := laneOf(t, members[0]), laneOf(t, members[1]); first.Priority != 8 || first.Key != "" || second.Priority != 8 || second.Key != "acme" {
		t.Errorf("the tasks of a pipe with an option: %+v and %+v", first, second)
	}
	// A task that another process has prepared keeps its lane.
	record, err := call.Request().Prepare(codec.Msgpack(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := laneOf(t, request.Prepared(record, false, false)); !reflect.DeepEqual(got, record.Lane) {
		t.Errorf("lane %+v, want %+v", got, record.Lane)
	}
}

// An error names the option, the value and the remedy.
func TestLaneErrors(t *testing.T) {
	long := strings.Repeat("x", broker.MaxLaneKey+1)
	var many []task.Option
	for i := range broker.MaxCharges + 1 {
		many = append(many, task.Limit(fmt.Sprint("limit", i)))
	}
	var noKey func(mailArgs) string
	var noCost func(mailArgs) int
	for want, opts := range map[string][]task.Option{
		"Priority(10), want 0 to 9":                                    {task.Priority(10)},
		"Priority(-1), want 0 to 9":                                    {task.Priority(-1)},
		"FairKey: the key is empty":                                    {task.FairKey("")},
		"FairKey: a key of 256 bytes, the limit is 255":                {task.FairKey(long)},
		"FairKeyFrom: the key is empty":                                {task.FairKeyFrom(tenantOf)},
		"FairKeyFrom(nil)":                                             {task.FairKeyFrom(noKey)},
		"FairKeyFrom: its function takes task_test.thumbArgs":          {task.FairKeyFrom(func(thumbArgs) string { return "" })},
		"Sequence: the key is empty":                                   {task.Sequence("")},
		"SequenceFrom: a key of 256 bytes":                             {task.SequenceFrom(func(mailArgs) string { return long })},
		"SequenceFrom(nil)":                                            {task.SequenceFrom(noKey)},
		`Limit("a b")`:                                                 {task.Limit("a b")},
		`Limit("mail"): KeyedBy: the key is empty`:                     {task.Limit("mail", task.KeyedBy(""))},
		`Limit("mail"): KeyedFrom: the key is empty`:                   {task.Limit("mail", task.KeyedFrom(tenantOf))},
		`Limit("mail"): KeyedFrom(nil)`:                                {task.Limit("mail", task.KeyedFrom(noKey))},
		`Limit("mail"): Costs: a cost of 0, want 1 to 1000000`:         {task.Limit("mail", task.Costs(0))},
		`Limit("mail"): CostsFrom: a cost of 0, want 1 to 1000000`:     {task.Limit("mail", task.CostsFrom(sizeOf))},
		`Limit("mail"): CostsFrom(nil)`:                                {task.Limit("mail", task.CostsFrom(noCost))},
		`Limit("limit8") is one too many: a call can have 8 limits`:    many,
		`Limit("mail"): CostsFrom: its function takes task_test.thumb`: {task.Limit("mail", task.CostsFrom(func(thumbArgs) int { return 1 }))},
	} {
		for how, req := range map[string]*request.Request{
			"definition": task.Define[mailArgs, task.None]("mail", opts...).Bind(mailArgs{}).Request(),
			"call":       task.Define[mailArgs, task.None]("mail").Bind(mailArgs{}).With(opts...).Request(),
		} {
			if err := req.Check(); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "task mail: ") {
				t.Errorf("%s: error %v, want ErrInvalid with %q", how, err, want)
			}
		}
	}
	err := task.Named("mail", task.Args("acme"), task.FairKeyFrom(tenantOf)).Request().Check()
	if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "codec.Arguments") {
		t.Errorf("a function of typed arguments on a call by name: error %v", err)
	}
	handle := task.Define[mailArgs, task.None]("mail", task.FairKeyFrom(tenantOf))
	err = task.NewStep[int](handle, "sum", map[string]any{"tenant": 7}).Unbound().Check()
	if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "parameter tenant is a string, and its argument a int") {
		t.Errorf("a step with an argument of another type: error %v", err)
	}
}

// LimitReached names its limits and the time.
func TestLimitReached(t *testing.T) {
	until := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, err := range map[string]error{
		"the limits of the task are reached until 2027-01-02T03:04:05Z": task.LimitReached(until),
		"limit mail is reached until 2027-01-02T03:04:05Z":              task.LimitReached(until, "mail"),
		"limits mail, api are reached until 2027-01-02T03:04:05Z":       task.LimitReached(until, "mail", "api"),
	} {
		var reached *task.LimitReachedError
		if !errors.As(fmt.Errorf("answer: %w", err), &reached) || !reached.Until.Equal(until) || err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
