package childtask_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/childtask"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// The handler finds in its context what the minion knows of the attempt.
func TestInfo(t *testing.T) {
	r := newRig(t, 1)
	job := r.job(deed{What: "info", Text: "argument"})
	job.Attempt, job.Retried, job.MaxRetries, job.Recoveries = 4, 2, 9, 1
	job.Meta, job.Enqueued = map[string]string{"k": "v"}, time.UnixMilli(1_700_000_000_123)
	got, err := r.outcome(r.run(t.Context(), job))
	if want := fmt.Sprintf("true %s deed jobs 4 2 9 1 map[k:v] 2023-11-14T22:13:20.123Z argument", parentID); got != want || err != nil {
		t.Errorf("the handler found %q, %v; want %q", got, err, want)
	}
}

// The time that the attempt has left counts from the moment at which the child is ready for it: the
// start of the child comes first.
func TestDeadline(t *testing.T) {
	t.Setenv(envSlow, "200ms")
	r := newRig(t, 1)
	for _, start := range []string{"a new child", "a child that waits"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		job := r.job(deed{What: "time"})
		var handed []time.Time
		done, err := childtask.Run(ctx, r.pool, job, job, &r.parent, func() { handed = append(handed, time.Now()) })
		if err != nil {
			t.Fatal(err)
		}
		text, err := r.outcome(done)
		if err != nil {
			t.Fatal(err)
		}
		before, after, _ := strings.Cut(text, " ")
		began, end := parsed(t, before), parsed(t, after)
		if len(handed) != 1 || began.Before(handed[0]) {
			t.Errorf("%s: handed was called at %v, and the handler began at %v", start, handed, began)
		}
		want, _ := ctx.Deadline()
		// The way to the handler makes the deadline there later by at most the time that it took.
		if late := end.Sub(want); late < 0 || len(handed) == 1 && late > began.Sub(handed[0]) {
			t.Errorf("%s: the deadline of the handler is %v after that of the attempt, and it began %v after it was handed over", start, late, began.Sub(handed[0]))
		}
		cancel()
	}
	text, err := r.do(deed{What: "time"})
	if err != nil || !strings.HasSuffix(text, " "+stamp(time.Time{})) {
		t.Errorf("without a limit the handler has the deadline %q, %v", text, err)
	}
}

func parsed(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The handler's context ends with the cause that the minion names: at the end of the time that was
// left, and when the minion ends it.
func TestCauses(t *testing.T) {
	r := newRig(t, 1)
	for _, cause := range []error{task.ErrTimeout, task.ErrExpired, context.DeadlineExceeded} {
		job := r.job(deed{What: "end"})
		job.LeftCause = failure.CauseName(cause)
		var done childtask.Done
		err := context.DeadlineExceeded
		for limit := 50 * time.Millisecond; errors.Is(err, context.DeadlineExceeded); limit *= 2 { // until a child is ready in that time
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			done, err = childtask.Run(ctx, r.pool, job, job, &r.parent, func() {})
			cancel()
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.outcome(done)
		if want := fmt.Sprintf("%v: %v", context.DeadlineExceeded, cause); got != want || err != nil {
			t.Errorf("the context ended with %q, %v; want %q", got, err, want)
		}
	}
	for _, cause := range []error{task.ErrCanceled, task.ErrStopping, task.ErrLeaseLost} {
		ctx, cancel := context.WithCancelCause(t.Context())
		job := r.job(deed{What: "end"})
		done, err := childtask.Run(ctx, r.pool, job, job, &r.parent, func() { cancel(cause) })
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.outcome(done)
		if want := fmt.Sprintf("%v: %v", context.Canceled, cause); got != want || err != nil {
			t.Errorf("the context ended with %q, %v; want %q", got, err, want)
		}
	}
}

// A child that lacks the handler or the codec says so, and starts nothing.
func TestUnfit(t *testing.T) {
	r := newRig(t, 1)
	for name, tt := range map[string]struct {
		change func(*childtask.Job)
		is     error
		says   string
	}{
		"handler": {func(j *childtask.Job) { j.Name = "strange" }, task.ErrUnknownTask, `"strange" in the child: minion.Child does not register it`},
		"codec":   {func(j *childtask.Job) { j.Codec = "own" }, nil, `in the child: codec: unknown codec "own"`},
	} {
		job := r.job(deed{What: "pid"})
		tt.change(job)
		done := r.run(t.Context(), job)
		_, err := r.outcome(done)
		if !done.Unfit || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: unfit %v, %v; want an error that says %q", name, done.Unfit, err, tt.says)
		}
	}
}

// A server needs the codec that the minion names.
func TestSetup(t *testing.T) {
	c := &isolate.Child{Setup: childtask.Setup(codec.JSON())}
	if _, err := childtask.NewServer(c, []codec.Codec{codec.JSON()}); err != nil {
		t.Errorf("with the codec: %v", err)
	}
	c.Setup = []byte("own")
	_, err := childtask.NewServer(c, []codec.Codec{codec.JSON()})
	if !errors.Is(err, codec.ErrUnknownCodec) || !strings.Contains(err.Error(), "minion.Child") || !strings.Contains(err.Error(), `"own"`) {
		t.Errorf("without the codec: %v, want an error that names it and minion.Child", err)
	}
}

// The error of a handler keeps its text and its identity. Whatever the handler does in its goroutine,
// the child survives, and runs the next job.
func TestErrors(t *testing.T) {
	r := newRig(t, 1)
	pid, err := r.do(deed{What: "pid"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		deed deed
		is   []error
		says string
	}{
		{deed{What: "error", Text: "this"}, []error{errKnown}, "this: " + errKnown.Error()},
		{deed{What: "noretry", Text: "that"}, []error{errKnown}, "that: " + errKnown.Error()},
		{deed{What: "snooze", N: int(time.Second)}, nil, "snooze"},
		{deed{What: "panic", Text: "ouch"}, []error{task.ErrPanic}, "ouch"},
		{deed{What: "mute"}, nil, "childtask_test.mute whose Error method panics: no words"},
		{deed{What: "hollow"}, []error{task.ErrPanic}, "a childtask_test.hollow: no core"},
		{deed{What: "goexit"}, []error{task.ErrPanic}, "Goexit"},
		{deed{What: "nothing"}, nil, errNoDeed.Error()},
	} {
		done := r.run(t.Context(), r.job(tt.deed))
		_, err := r.outcome(done)
		if err == nil || !strings.Contains(err.Error(), tt.says) || done.Unfit || done.Result != nil {
			t.Errorf("%s: %+v, %v; want an error that says %q", tt.deed.What, done, err, tt.says)
		}
		for _, is := range tt.is {
			if !errors.Is(err, is) {
				t.Errorf("%s: error %v, want %v", tt.deed.What, err, is)
			}
		}
		var snooze *task.SnoozeError
		if isSnooze := errors.As(err, &snooze); isSnooze != (tt.deed.What == "snooze") || isSnooze && snooze.After != time.Second {
			t.Errorf("%s: error %#v", tt.deed.What, err)
		}
		var final *task.NoRetryError
		if isFinal := errors.As(err, &final); isFinal != (tt.deed.What == "noretry") {
			t.Errorf("%s: the error forbids a retry: %v", tt.deed.What, isFinal)
		}
	}
	if again, err := r.do(deed{What: "pid"}); again != pid || err != nil {
		t.Errorf("the next job ran in process %s, %v; want %s", again, err, pid)
	}
}

// A result may have as many bytes as the job says.
func TestResultLimit(t *testing.T) {
	r := newRig(t, 1)
	const n = 1000
	job := r.job(deed{What: "large", N: n})
	job.Limit = n + 3 // with the head of a string in msgpack
	if got, err := r.outcome(r.run(t.Context(), job)); len(got) != n || err != nil {
		t.Errorf("%d bytes, %v; want %d", len(got), err, n)
	}
	job.Limit--
	done := r.run(t.Context(), job)
	_, err := r.outcome(done)
	if !errors.Is(err, task.ErrBadResult) || !errors.Is(err, task.ErrTooLarge) || done.Unfit ||
		!strings.Contains(err.Error(), fmt.Sprintf("%d bytes, the limit is %d", n+3, n+2)) {
		t.Errorf("error %v, want one that names both sizes", err)
	}
}

// Run fails if no child can run the job.
func TestNoChild(t *testing.T) {
	r := newRig(t, 1)
	r.pool.Close()
	job := r.job(deed{What: "pid"})
	handed := false
	if _, err := childtask.Run(t.Context(), r.pool, job, job, &r.parent, func() { handed = true }); !errors.Is(err, broker.ErrClosed) || handed {
		t.Errorf("a closed pool: %v, handed over %v; want ErrClosed", err, handed)
	}
}
