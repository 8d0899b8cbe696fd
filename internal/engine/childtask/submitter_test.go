package childtask_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// prepared returns the record of a request that has crossed.
func prepared(t *testing.T, call task.Bound) *broker.Task {
	t.Helper()
	rec, err := call.Request().Prepare(codec.Msgpack(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// A call arrives as the handler made it, and with the id that the minion would have derived. If an
// attempt sends the same again, the ids are the same.
func TestSubmit(t *testing.T) {
	r := newRig(t, 1)
	for _, what := range []string{"send", "send later"} {
		var ids []string
		for attempt := uint32(1); attempt <= 2; attempt++ {
			var s sent
			r.parent.submit = s.submit
			job := r.job(deed{What: what, N: 3})
			job.Attempt = attempt
			text, err := r.outcome(r.run(t.Context(), job))
			if what == "send later" {
				var refused bool
				if text, refused = strings.CutSuffix(text, " true"); !refused {
					t.Errorf("a wait for a call that is not sent yet: %s", text)
				}
			}
			if err != nil || len(s.calls) != 3 || slices.Contains(s.later, what == "send") {
				t.Fatalf("%s: %d calls were sent, only after success: %v, %v", what, len(s.calls), s.later, err)
			}
			ids = append(ids, text)
			own := client.Child{Parent: parentID, Attempt: attempt}
			for i, call := range s.calls {
				got := prepared(t, call)
				want, err := own.Record(work.Bind(args{i}).With(task.Queue("other"), task.Meta("k", "v"), task.Unique(fmt.Sprint(i)), task.Inherit()).Request(), codec.Msgpack(), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if got.ID != want.ID || strings.Fields(text)[i] != want.ID.String() {
					t.Errorf("%s: call %d has the id %s in the minion and %s in the child, want %s", what, i, got.ID, strings.Fields(text)[i], want.ID)
				}
				got.Enqueued, got.Parent = want.Enqueued, want.Parent
				if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w || !call.Request().Settings().Inherit {
					t.Errorf("%s: call %d arrived as\n%s, want\n%s", what, i, g, w)
				}
			}
		}
		if ids[0] != ids[1] {
			t.Errorf("%s: the second attempt made the ids %s, want %s", what, ids[1], ids[0])
		}
	}
}

// shape describes a request with all that belongs to it.
func shape(t *testing.T, r *request.Request) string {
	t.Helper()
	if r == nil {
		return "none"
	}
	f := r.Flow()
	if f == nil {
		rec := prepared(t, r)
		return fmt.Sprintf("%s(%x %q)", rec.Name, rec.Payload, rec.Flow.Upstream)
	}
	s := r.Settings()
	text := fmt.Sprintf("%v of %d, %v, %v, %v, %v, then %s, then %s:", f.Kind, f.Quorum, f.Timeout, f.Timeouts, s.Retention, s.Inherit, shape(t, f.Callback), shape(t, f.Finalizer))
	for _, m := range f.Members {
		text += " " + shape(t, m)
	}
	return "[" + text + "]"
}

// A group arrives with all its members and settings, and with the id that the minion would have
// derived from theirs.
func TestSubmitFlow(t *testing.T) {
	r := newRig(t, 1)
	var ids []string
	for range 2 {
		var s sent
		r.parent.submit = s.submit
		id, err := r.do(deed{What: "send flow"})
		if err != nil || len(s.calls) != 1 {
			t.Fatalf("%d calls were sent, %v; want 1", len(s.calls), err)
		}
		got := s.calls[0].Request()
		ids = append(ids, id)
		if got.ID().String() != id || got.ID().Kind() != broker.KindGroup {
			t.Errorf("the group has the id %s in the minion, and %s in the child", got.ID(), id)
		}
		if g, w := shape(t, got), shape(t, flowRequest()); g != w {
			t.Errorf("the group arrived as\n%s, want\n%s", g, w)
		}
		own := client.Child{Parent: parentID, Attempt: 1}
		f := got.Flow()
		follow := []broker.ID{f.Callback.ID(), f.Finalizer.ID()}
		if want := own.FlowID(broker.KindGroup, []broker.ID{f.Members[0].ID(), f.Members[1].ID()}, follow...); got.ID() != want {
			t.Errorf("the group has the id %s, want %s", got.ID(), want)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("the second attempt made the id %s, want %s", ids[1], ids[0])
	}
	r.parent.submit = new(sent).submit
	if _, err := r.do(deed{What: "send deep", N: 100}); err != nil {
		t.Errorf("100 groups in each other: %v", err)
	}
	if _, err := r.do(deed{What: "send deep", N: 101}); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "more than 100") {
		t.Errorf("101 groups in each other: %v, want an error that names the limit", err)
	}
}

// The calls that can't be sent fail, and the others are sent. An error of the minion about one call
// comes back as the error of that call.
func TestSubmitFails(t *testing.T) {
	r := newRig(t, 1)
	s := sent{err: fmt.Errorf("the minion: %w", &task.SubmitError{Total: 3, Failed: []task.FailedCall{{Index: 1, Err: fmt.Errorf("refused: %w", errKnown)}}})}
	r.parent.submit = s.submit
	_, err := r.do(deed{What: "send some"})
	if len(s.calls) != 3 {
		t.Errorf("%d calls were sent, want 3", len(s.calls))
	}
	// The handler returns the error, so the test gets its text and its identity.
	if !errors.Is(err, task.ErrInvalid) || !errors.Is(err, errKnown) || !strings.Contains(err.Error(), "(and 3 more of 6)") {
		t.Errorf("error %v, want one about 4 of 6 calls", err)
	}
	s = sent{err: fmt.Errorf("nothing works: %w", errKnown)}
	_, err = r.do(deed{What: "send", N: 2})
	if !errors.Is(err, errKnown) || !strings.Contains(err.Error(), "not sent: nothing works") || !strings.Contains(err.Error(), "(and 1 more of 2)") {
		t.Errorf("error %v, want one that says that nothing was sent", err)
	}
}

// The result of the task that is awaited, its error, and the error of the wait itself arrive.
func TestAwait(t *testing.T) {
	r := newRig(t, 1)
	id := broker.NewTaskID("other", "")
	for name, tt := range map[string]struct {
		outcome *broker.Outcome
		err     error
		want    string
		is      error
		says    string
	}{
		"success":      {outcome: r.outcomeOf(7), want: "7"},
		"failure":      {outcome: &broker.Outcome{State: broker.StateFailed, Attempts: 3, Err: task.NewFailure(fmt.Errorf("bad luck: %w", errKnown))}, is: errKnown, says: "bad luck"},
		"another type": {outcome: r.outcomeOf("text"), says: "result: msgpack: found string, want int"},
		"no outcome":   {err: fmt.Errorf("task %s: %w", id, task.ErrNotFound), is: task.ErrNotFound, says: "not found"},
	} {
		var asked []task.ID
		r.parent.await = func(_ context.Context, id task.ID) (*broker.Outcome, error) {
			asked = append(asked, id)
			return tt.outcome, tt.err
		}
		got, err := r.do(deed{What: "await", Text: id.String()})
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) || !slices.Equal(asked, []task.ID{id}) {
			t.Errorf("%s: %q, %v, after requests for %v; want %q, or an error that says %q", name, got, err, asked, tt.want, tt.says)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: error %v, want %v", name, err, tt.is)
		}
	}
}

// A wait ends with the context of the handler. If its time was over, the minion says why the task is
// not done.
func TestAwaitEnds(t *testing.T) {
	r := newRig(t, 1)
	id := broker.NewTaskID("other", "")
	silent := make(chan struct{}) // closed when a minion that does not answer may end
	ended := make(chan error, 1)
	patient := func(ctx context.Context, id task.ID) (*broker.Outcome, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, &task.WaitError{ID: id, Queue: "other", State: broker.StatePending, Reason: "no minion serves the queue", Stuck: true, Err: ctx.Err()}
	}
	for name, tt := range map[string]struct {
		what  string
		await func(context.Context, task.ID) (*broker.Outcome, error)
		is    []error
		says  string
		end   error // with which the wait in the minion ends
	}{
		"its time is over": {"await briefly", patient, []error{context.DeadlineExceeded, task.ErrNoMinion}, "no minion serves the queue", context.DeadlineExceeded},
		"it is canceled":   {"await and cancel", patient, []error{context.Canceled}, id.String(), context.Canceled},
		"the minion is silent": {"await briefly", func(context.Context, task.ID) (*broker.Outcome, error) {
			<-silent
			return nil, errUnwanted
		}, []error{context.DeadlineExceeded}, id.String(), nil},
		"it has ended before": {"await too late", nil, []error{context.Canceled}, id.String(), nil},
	} {
		r.parent.await = tt.await
		_, err := r.do(deed{What: tt.what, Text: id.String(), N: int(50 * time.Millisecond)})
		for _, is := range tt.is {
			if !errors.Is(err, is) {
				t.Errorf("%s: error %v, want %v", name, err, is)
			}
		}
		var wait *task.WaitError
		if !errors.As(err, &wait) || wait.ID != id || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want a WaitError of task %s that says %q", name, err, id, tt.says)
		}
		if tt.end != nil {
			if got := <-ended; !errors.Is(got, tt.end) {
				t.Errorf("%s: the wait of the minion ended with %v, want %v", name, got, tt.end)
			}
		}
	}
	close(silent)
}

// While a handler waits for another task, one more job may run.
func TestAwaitLends(t *testing.T) {
	r := newRig(t, 1)
	waits, done := make(chan struct{}), make(chan struct{})
	r.parent.await = func(context.Context, task.ID) (*broker.Outcome, error) {
		close(waits)
		<-done
		return r.outcomeOf(1), nil
	}
	result := make(chan error, 1)
	go func() {
		_, err := r.do(deed{What: "await", Text: broker.NewTaskID("other", "").String()})
		result <- err
	}()
	<-waits
	if _, err := r.do(deed{What: "pid"}); err != nil { // it would hang
		t.Error(err)
	}
	close(done)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// An event is encoded in the child, and the minion publishes it.
func TestEmit(t *testing.T) {
	r := newRig(t, 1)
	want, err := client.EncodeEvent("sums", 7, codec.Msgpack())
	if err != nil {
		t.Fatal(err)
	}
	var topic string
	var event []byte
	r.parent.publish = func(_ context.Context, to string, data []byte) error {
		topic, event = to, data
		return nil
	}
	if _, err := r.do(deed{What: "emit", Text: "sums", N: 7}); err != nil || topic != "sums" || string(event) != string(want) {
		t.Errorf("the minion published %x to %q, %v; want %x", event, topic, err, want)
	}
	topic = ""
	if _, err := r.do(deed{What: "emit", Text: "no spaces"}); !errors.Is(err, task.ErrInvalid) || topic != "" {
		t.Errorf("an invalid topic: %v, published to %q", err, topic)
	}
	r.parent.publish = func(context.Context, string, []byte) error { return errKnown }
	if _, err := r.do(deed{What: "emit", Text: "sums"}); !errors.Is(err, errKnown) {
		t.Errorf("error %v, want that of the minion", err)
	}
}
