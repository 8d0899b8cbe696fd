package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// deed says what an isolated task does.
type deed struct {
	What string `arbiter:"what"`
	Text string `arbiter:"text,optional"`
	N    int    `arbiter:"n,optional"`
}

// trace is the result of a deed.
type trace struct {
	PID  int
	Text string
	N    int
}

var (
	isolated = task.Define[deed, trace]("isolated", task.Isolated())
	inside   = task.Define[deed, trace]("inside") // the same handler in the minion's process
	plain    = task.Define[args, int]("plain")
	strange  = task.Define[args, int]("strange", task.Isolated()) // children don't register it
	errKnown = errors.New("known on both sides")
)

func init() {
	if err := task.RegisterError("isolated-test", errKnown); err != nil {
		panic(err)
	}
}

// failsOnce is the argument with which plain fails for good when it first runs.
const failsOnce = 77

// envSlow is the environment variable with the time that a child needs to start.
const envSlow = "ARBITER_TEST_SLOW"

// registerIsolated registers the deeds, in the minion and in its children.
func registerIsolated(r task.Registrar) error {
	slow, _ := time.ParseDuration(os.Getenv(envSlow))
	time.Sleep(slow)
	once := false
	err := task.Handle(r, plain, func(_ context.Context, a args) (int, error) {
		if a.N == failsOnce && !once {
			once = true
			return 0, task.NoRetry(errKnown)
		}
		if a.N < 0 {
			return 0, fmt.Errorf("%d: %w", a.N, errKnown)
		}
		return a.N + 1, nil
	})
	if err != nil {
		return err
	}
	if err := registerExample(r); err != nil {
		return err
	}
	do := func(ctx context.Context, d deed) (trace, error) {
		f := deeds[d.What]
		if f == nil {
			return trace{}, task.NoRetry(fmt.Errorf("no deed %q", d.What))
		}
		tr, err := f(ctx, d)
		tr.PID = os.Getpid()
		return tr, err
	}
	return errors.Join(task.Handle(r, isolated, do), task.Handle(r, inside, do))
}

var deeds = map[string]func(context.Context, deed) (trace, error){
	"echo": func(_ context.Context, d deed) (trace, error) {
		return trace{Text: d.Text, N: d.N}, nil
	},
	"error": func(_ context.Context, d deed) (trace, error) {
		return trace{}, task.NoRetry(fmt.Errorf("%s: %w", d.Text, &os.PathError{Op: "open", Path: "x", Err: errKnown}))
	},
	"panic": func(_ context.Context, d deed) (trace, error) {
		panic(d.Text)
	},
	"goexit": func(context.Context, deed) (trace, error) {
		runtime.Goexit()
		return trace{}, nil
	},
	"exit": func(_ context.Context, d deed) (trace, error) {
		fmt.Fprintln(os.Stderr, "before the end")
		os.Exit(d.N)
		return trace{}, nil
	},
	"last words": func(_ context.Context, d deed) (trace, error) {
		fmt.Fprintln(os.Stderr, d.Text)
		os.Exit(1)
		return trace{}, nil
	},
	"lone panic": func(ctx context.Context, d deed) (trace, error) {
		go panic(d.Text)
		return trace{}, obey(ctx)
	},
	"fatal": func(ctx context.Context, _ deed) (trace, error) {
		m := map[int]int{}
		for range 4 {
			go func() {
				for {
					m[1]++
				}
			}()
		}
		return trace{}, obey(ctx)
	},
	"kill": func(ctx context.Context, _ deed) (trace, error) {
		return trace{}, errors.Join(kill(os.Getpid()), obey(ctx))
	},
	// second kills its process in the first attempt.
	"second": func(ctx context.Context, _ deed) (trace, error) {
		info, _ := task.FromContext(ctx)
		if info.Attempt == 1 {
			_ = kill(os.Getpid())
			<-ctx.Done()
		}
		return trace{N: int(info.Attempt)}, nil
	},
	// waits fails with the error of the task that it waits for.
	"waits": func(ctx context.Context, d deed) (trace, error) {
		info, _ := task.FromContext(ctx)
		n, err := plain.Call(ctx, info, args{d.N})
		return trace{N: n, Text: strconv.Itoa(int(info.Attempt))}, err
	},
	"spin": func(_ context.Context, d deed) (trace, error) {
		fmt.Println(d.Text, os.Getpid())
		for {
			spun++
		}
	},
	// ignore waits for ever, without using the CPU.
	"ignore": func(_ context.Context, d deed) (trace, error) {
		fmt.Println(d.Text, os.Getpid())
		select {}
	},
	"obey": func(ctx context.Context, d deed) (trace, error) {
		fmt.Println(d.Text)
		<-ctx.Done()
		return trace{}, fmt.Errorf("%w; cause: %w", ctx.Err(), context.Cause(ctx))
	},
	"eat": func(_ context.Context, d deed) (trace, error) {
		var all [][]byte
		for range d.N {
			all = append(all, slices.Repeat([]byte{1}, 1<<20))
		}
		<-time.After(200 * time.Millisecond)
		return trace{N: len(all)}, nil
	},
	"nap": func(_ context.Context, d deed) (trace, error) {
		fmt.Println(d.Text)
		time.Sleep(200 * time.Millisecond)
		return trace{Text: d.Text}, nil
	},
	"long": func(_ context.Context, d deed) (trace, error) {
		return trace{Text: strings.Repeat("x", d.N)}, nil
	},
	"breed": func(_ context.Context, d deed) (trace, error) {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return trace{}, err
		}
		fmt.Println(d.Text, cmd.Process.Pid)
		return trace{}, cmd.Wait()
	},
	"print": func(_ context.Context, d deed) (trace, error) {
		fmt.Println(d.Text, "to stdout")
		fmt.Fprint(os.Stderr, d.Text+" to stderr")
		return trace{}, nil
	},
	// chatter prints the given number of lines.
	"chatter": func(_ context.Context, d deed) (trace, error) {
		fmt.Print(strings.Repeat("chatters\n", d.N))
		return trace{}, nil
	},
	"info": func(ctx context.Context, _ deed) (trace, error) {
		info, ok := task.FromContext(ctx)
		end, timed := ctx.Deadline()
		left := time.Until(end)
		return trace{Text: fmt.Sprint(ok, info.ID, info.Name, info.Queue, info.Attempt, info.Meta["k"],
			timed && left > 50*time.Second && left <= time.Minute, unset(info))}, nil
	},
	// left returns how many milliseconds it has.
	"left": func(ctx context.Context, _ deed) (trace, error) {
		end, _ := ctx.Deadline()
		return trace{N: int(time.Until(end).Milliseconds())}, nil
	},
	"call": func(ctx context.Context, d deed) (trace, error) {
		n, err := plain.Call(ctx, submitter(ctx), args{d.N})
		return trace{N: n, Text: fmt.Sprint(errors.Is(err, errKnown))}, nil
	},
	"pipe": func(ctx context.Context, d deed) (trace, error) {
		group, err := task.All(plain.Bind(args{d.N}), plain.Bind(args{d.N + 1})).Send(ctx, submitter(ctx))
		if err != nil {
			return trace{}, err
		}
		all, err := group.Result(ctx)
		return trace{Text: fmt.Sprint(all)}, err
	},
	// ends sends a group without members, with a callback and two finalizers.
	"ends": func(ctx context.Context, d deed) (trace, error) {
		finals := []*request.Request{plain.Bind(args{d.N + 1}).Request(), plain.Bind(args{d.N + 2}).Request()}
		group := request.Group(nil, request.GroupSettings{
			Callback:  plain.Bind(args{d.N}).Request(),
			Finalizer: request.Group(finals, request.GroupSettings{}), Timeouts: []time.Duration{0, time.Hour},
		})
		s := submitter(ctx)
		if err := s.Submit(ctx, group); err != nil {
			return trace{}, err
		}
		last := group.Flow().Finalizer.Flow().Members
		got := make([]int, 3)
		err := errors.Join(s.Await(ctx, group.ID(), &got[0]), s.Await(ctx, last[0].ID(), &got[1]), s.Await(ctx, last[1].ID(), &got[2]))
		return trace{Text: fmt.Sprint(got)}, err
	},
	"spread": func(ctx context.Context, d deed) (trace, error) {
		late := plain.With(task.Spread(time.Duration(d.N)*time.Second), task.Delay(time.Hour))
		futs, err := task.SendAll(ctx, submitter(ctx), late.Bind(args{1}), late.Bind(args{2}))
		if err != nil {
			return trace{}, err
		}
		return trace{Text: futs[0].ID().String() + " " + futs[1].ID().String()}, nil
	},
	"later": func(ctx context.Context, d deed) (trace, error) {
		fut, err := plain.Apply(ctx, task.OnSuccess(ctx), args{d.N})
		if err != nil {
			return trace{}, err
		}
		_, err = fut.Result(ctx)
		return trace{Text: fut.ID().String(), N: map[bool]int{true: 1}[errors.Is(err, task.ErrNotSubmitted)]}, nil
	},
	// hold waits for the end of its process in the first attempt, and sends calls in
	// later ones.
	"hold": func(ctx context.Context, d deed) (trace, error) {
		if info, _ := task.FromContext(ctx); info.Attempt == 1 {
			fmt.Println("holds", os.Getpid())
			return trace{}, obey(ctx)
		}
		n, err := plain.Call(ctx, submitter(ctx), args{d.N})
		return trace{N: n}, err
	},
	// again sends a task and then kills its process in the first attempt.
	"again": func(ctx context.Context, d deed) (trace, error) {
		fut, err := plain.With(task.Retries(5)).Apply(ctx, submitter(ctx), args{d.N})
		if err != nil {
			return trace{}, err
		}
		if info, _ := task.FromContext(ctx); info.Attempt == 1 {
			fmt.Println("again", fut.ID())
			time.Sleep(50 * time.Millisecond)
			_ = kill(os.Getpid())
			<-ctx.Done()
		}
		n, err := fut.Result(ctx)
		return trace{Text: fut.ID().String(), N: n}, err
	},
	"impatient": func(ctx context.Context, _ deed) (trace, error) {
		fut, err := plain.With(task.Delay(time.Hour)).Apply(ctx, submitter(ctx), args{1})
		if err != nil {
			return trace{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_, err = fut.Result(ctx)
		return trace{Text: fmt.Sprint(errors.Is(err, context.DeadlineExceeded))}, nil
	},
	"stray": func(ctx context.Context, d deed) (trace, error) {
		go func() {
			<-ctx.Done() // after the handler has returned
			for err := error(nil); !errors.Is(err, context.Canceled); {
				_, err = plain.Apply(context.WithoutCancel(ctx), submitter(ctx), args{1})
				if err != nil {
					fmt.Println(d.Text, err)
					return
				}
			}
		}()
		return trace{}, nil
	},
	"heir": func(ctx context.Context, _ deed) (trace, error) {
		fut, err := plain.With(task.Inherit(), task.Delay(time.Hour)).Apply(ctx, submitter(ctx), args{1})
		if err != nil {
			return trace{}, err
		}
		fmt.Println("heir", fut.ID())
		return trace{}, obey(ctx)
	},
	"refused": func(ctx context.Context, d deed) (trace, error) {
		dear := plain.With(task.Unique(d.Text), task.Delay(time.Hour))
		if _, err := dear.Apply(ctx, submitter(ctx), args{1}); err != nil {
			return trace{}, err
		}
		_, err := dear.Apply(ctx, submitter(ctx), args{2})
		var dup *task.DuplicateError
		if !errors.Is(err, task.ErrDuplicate) || !errors.As(err, &dup) {
			return trace{}, err
		}
		// The queue "small" has room for one task.
		small := plain.With(task.Queue("small"), task.Delay(time.Hour))
		if _, err := small.Apply(ctx, submitter(ctx), args{3}); err != nil {
			return trace{}, err
		}
		_, err = small.Apply(ctx, submitter(ctx), args{4})
		var full *task.FullError
		if !errors.Is(err, task.ErrFull) || !errors.As(err, &full) || *full != (task.FullError{Queue: "small", Most: 1, Waiting: 1}) {
			return trace{}, fmt.Errorf("a call to a full queue: %w", err)
		}
		soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if _, err = small.With(task.WaitForRoom()).Apply(soon, submitter(ctx), args{5}); !errors.Is(err, context.DeadlineExceeded) {
			return trace{}, fmt.Errorf("a call that waits for room: %w", err)
		}
		scope, key := dup.Unique()
		return trace{N: map[bool]int{true: 1}[scope == plain.Name() && key == d.Text]}, nil
	},
}

var spun int

// kill ends a process at once.
func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// yard is a rig in real time, because child processes do not run in a synctest bubble.
type yard struct {
	*testing.T
	arb  *arbiter.Arbiter
	logs *logs
	stop func() error
}

func newYard(t *testing.T, slots int, opts ...minion.Option) *yard {
	t.Helper()
	return newYardOn(t, memory.New(), slots, opts...)
}

// newYardOn is newYard with the given broker, which is closed at the end of the test.
func newYardOn(t *testing.T, b broker.Broker, slots int, opts ...minion.Option) *yard {
	t.Helper()
	y := &yard{T: t, logs: &logs{}}
	opts = append([]minion.Option{minion.Logger(y.logs.logger()), minion.Retry(0, nil)}, opts...)
	m := must(minion.New(b, opts...))
	if err := registerIsolated(m); err != nil {
		t.Fatal(err)
	}
	if err := task.Handle(m, strange, func(context.Context, args) (int, error) { return 0, nil }); err != nil {
		t.Fatal(err)
	}
	arb, err := arbiter.New(b, arbiter.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	y.arb = arb
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx, slots) }()
	stopped := false
	y.stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-done
	}
	t.Cleanup(func() {
		if err := y.stop(); err != nil {
			t.Error(err)
		}
		_, _ = arb.Close(), b.Close()
		if t.Failed() {
			t.Log(y.logs)
		}
	})
	return y
}

func (y *yard) send(d deed, opts ...task.Option) *task.Future[trace] {
	y.Helper()
	fut, err := isolated.With(opts...).Apply(context.Background(), y.arb, d)
	if err != nil {
		y.Fatal(err)
	}
	return fut
}

func (y *yard) result(fut *task.Future[trace]) (trace, error) {
	y.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tr, err := fut.Result(ctx)
	if ctx.Err() != nil {
		y.Fatalf("task %s: %v", fut.ID(), err)
	}
	return tr, err
}

// do runs a task and returns its result.
func (y *yard) do(d deed, opts ...task.Option) (trace, error) {
	y.Helper()
	return y.result(y.send(d, opts...))
}

// remote runs a task that must fail, and returns its error.
func (y *yard) remote(d deed, opts ...task.Option) *task.RemoteError {
	y.Helper()
	_, err := y.do(d, opts...)
	var remote *task.RemoteError
	if !errors.As(err, &remote) {
		y.Fatalf("%+v: error %v", d, err)
	}
	return remote
}

// printed waits for a line of a child and returns the number after the text.
func (y *yard) printed(text string) int {
	y.Helper()
	for range 12_000 {
		if i := indexAfter(y.logs.String(), text+" "); i > 0 {
			digits := y.logs.String()[i:]
			end := 0
			for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
				end++
			}
			n, _ := strconv.Atoi(digits[:end])
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	y.Fatalf("no child has printed %q", text)
	return 0
}
