package childtask_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/step"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// deed says what a handler in a child does.
type deed struct {
	What string `arbiter:"what"`
	Text string `arbiter:"text,optional"`
	N    int    `arbiter:"n,optional"`
}

// args are the arguments of the tasks that the deeds send.
type args struct {
	N int `arbiter:"n"`
}

var (
	deedTask = task.Define[deed, string]("deed")
	work     = task.Define[args, int]("work")
	errKnown = errors.New("known on both sides")
	// errUnwanted is the error of a request that the test does not expect.
	errUnwanted = errors.New("the test expects no such request")
)

func init() {
	if err := task.RegisterError("childtask-test", errKnown); err != nil {
		panic(err)
	}
}

// mute is an error without a text, since its method panics.
type mute struct{}

func (mute) Error() string { panic("no words") }

// hollow is an error that can't be searched, since its method panics.
type hollow struct{}

func (hollow) Error() string { return "hollow" }

func (hollow) Unwrap() error { panic("no core") }

var errNoDeed = errors.New("there is no such deed")

func do(ctx context.Context, d deed) (string, error) {
	if f := deeds[d.What]; f != nil {
		return f(ctx, d)
	}
	return "", fmt.Errorf("%w: %q", errNoDeed, d.What)
}

var deeds = map[string]func(context.Context, deed) (string, error){
	"info": func(ctx context.Context, d deed) (string, error) {
		i, ok := task.FromContext(ctx)
		return fmt.Sprintf("%v %s %s %s %d %d %d %d %v %s %s", ok, i.ID, i.Name, i.Queue, i.Attempt, i.Retried, i.MaxRetries,
			i.Recoveries, i.Meta, i.Enqueued.UTC().Format(time.RFC3339Nano), d.Text), nil
	},
	"pid": func(context.Context, deed) (string, error) { return fmt.Sprint(os.Getpid()), nil },
	"time": func(ctx context.Context, _ deed) (string, error) {
		now := time.Now()
		end, _ := ctx.Deadline()
		return stamp(now) + " " + stamp(end), nil
	},
	"end": func(ctx context.Context, _ deed) (string, error) {
		<-ctx.Done()
		return fmt.Sprintf("%v: %v", ctx.Err(), context.Cause(ctx)), nil
	},
	"large": func(_ context.Context, d deed) (string, error) { return strings.Repeat("x", d.N), nil },

	"error": func(_ context.Context, d deed) (string, error) { return "", fmt.Errorf("%s: %w", d.Text, errKnown) },
	"noretry": func(_ context.Context, d deed) (string, error) {
		return "", task.NoRetry(fmt.Errorf("%s: %w", d.Text, errKnown))
	},
	"snooze": func(_ context.Context, d deed) (string, error) { return "", task.Snooze(time.Duration(d.N)) },
	"panic":  func(_ context.Context, d deed) (string, error) { panic(d.Text) },
	"mute":   func(context.Context, deed) (string, error) { return "", mute{} },
	"hollow": func(context.Context, deed) (string, error) { return "", hollow{} },
	"goexit": func(context.Context, deed) (string, error) {
		runtime.Goexit()
		return "", nil
	},

	// These send calls, and return their ids or what is wrong.
	"send": func(ctx context.Context, d deed) (string, error) {
		i, _ := task.FromContext(ctx)
		return send(ctx, i, d.N)
	},
	"send later": func(ctx context.Context, d deed) (string, error) {
		i, _ := task.FromContext(ctx)
		text, err := send(ctx, task.OnSuccess(ctx), d.N)
		return fmt.Sprint(text, " ", errors.Is(i.OnSuccess.Await(ctx, i.ID, nil), task.ErrNotSubmitted)), err
	},
	"send flow": func(ctx context.Context, _ deed) (string, error) {
		i, _ := task.FromContext(ctx)
		r := flowRequest()
		err := i.Submitter.Submit(ctx, r)
		return fmt.Sprint(r.ID()), err
	},
	"send some": func(ctx context.Context, _ deed) (string, error) { // one of them can't be sent
		i, _ := task.FromContext(ctx)
		return "", i.Submitter.Submit(ctx, work.Bind(args{1}), task.Call[int]{}, nil, task.Named("", task.Args()), work.Bind(args{2}), work.Bind(args{3}))
	},
	"send deep": func(ctx context.Context, d deed) (string, error) {
		i, _ := task.FromContext(ctx)
		r := work.Bind(args{1}).Request()
		for range d.N {
			r = request.Group([]*request.Request{r}, request.GroupSettings{Quorum: 1})
		}
		return "", i.Submitter.Submit(ctx, r)
	},

	"await": func(ctx context.Context, d deed) (string, error) {
		id, err := task.ParseID(d.Text)
		if err != nil {
			return "", err
		}
		i, _ := task.FromContext(ctx)
		n, err := task.NewFuture[int](i, id).Result(ctx)
		return fmt.Sprint(n), err
	},
	"await briefly": func(ctx context.Context, d deed) (string, error) {
		id, err := task.ParseID(d.Text)
		if err != nil {
			return "", err
		}
		i, _ := task.FromContext(ctx)
		ctx, cancel := context.WithTimeout(ctx, time.Duration(d.N))
		defer cancel()
		return "", i.Await(ctx, id, nil)
	},
	"await and cancel": func(ctx context.Context, d deed) (string, error) {
		id, err := task.ParseID(d.Text)
		if err != nil {
			return "", err
		}
		i, _ := task.FromContext(ctx)
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Duration(d.N), cancel)
		defer cancel()
		return "", i.Await(ctx, id, nil)
	},
	"await too late": func(ctx context.Context, d deed) (string, error) {
		id, err := task.ParseID(d.Text)
		if err != nil {
			return "", err
		}
		i, _ := task.FromContext(ctx)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return "", i.Await(ctx, id, nil)
	},

	"steps": func(ctx context.Context, d deed) (string, error) {
		a, err := step.Run(ctx, "a", func(context.Context) (string, error) { return d.Text, nil })
		if err != nil {
			return "", err
		}
		if _, err := step.Run(ctx, "large", func(context.Context) (int, error) { return 1, nil }); !errors.Is(err, broker.ErrSteps) {
			return "", fmt.Errorf("a step for which there is no room: %w", err)
		}
		n, err := step.Wait[int](ctx, "s", time.Hour)
		return fmt.Sprint(a, " ", n), err
	},

	"emit": func(ctx context.Context, d deed) (string, error) {
		i, _ := task.FromContext(ctx)
		return "", i.Emit(ctx, d.Text, d.N)
	},
}

// send sends n calls in one submission and returns their ids.
func send(ctx context.Context, s task.Submitter, n int) (string, error) {
	var calls []task.Call[int]
	for i := range n {
		calls = append(calls, work.Bind(args{i}).With(task.Queue("other"), task.Meta("k", "v"), task.Unique(fmt.Sprint(i)), task.Inherit()))
	}
	futs, err := task.SendAll(ctx, s, calls...)
	var ids []string
	for _, f := range futs {
		if f != nil { // it was sent
			ids = append(ids, f.ID().String())
		}
	}
	return strings.Join(ids, " "), err
}

// flowRequest returns a group with every setting: its members are a task and a pipe, and it has a
// callback and several finalizers.
func flowRequest() *request.Request {
	member := func(n int) *request.Request { return work.Bind(args{n}).Request() }
	pipe := request.Pipe([]*request.Request{member(1), request.New("step", codec.Arguments{}, nil).Waiting("upstream")})
	r := request.Group([]*request.Request{member(0), pipe}, request.GroupSettings{
		Quorum: 1, Callback: member(2),
		Finalizer: request.Group([]*request.Request{member(3), member(4)}, request.GroupSettings{Quorum: 0}),
		Timeout:   time.Minute, Timeouts: []time.Duration{time.Minute, time.Hour},
	})
	return r.With(func(s *request.Settings) { s.Retention, s.Inherit = 3*time.Hour, true })
}
