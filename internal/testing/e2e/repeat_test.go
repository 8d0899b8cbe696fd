//go:build unix

package e2e

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// One call is sent by many goroutines at once through two arbiters, and sent again while it runs
// and after its end. It is one task.
func TestSameCall(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	second, err := arbiter.New(r.b, arbiter.Logger(r.logs.logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	r.minion()
	calls := make([]task.Call[answer], 10)
	futs := make([]*task.Future[answer], len(calls))
	for i := range calls {
		calls[i] = work.Bind(args{N: i, For: 100 * time.Millisecond})
	}
	var all sync.WaitGroup
	send := func(arb *arbiter.Arbiter, i int) {
		fut, err := calls[i].Send(t.Context(), arb)
		if err != nil {
			t.Errorf("send %d of the call returned %v", i, err)
			return
		}
		if a, err := fut.Result(t.Context()); err != nil || a.N != i || a.Attempt != 1 {
			t.Errorf("the result of send %d is %+v, %v", i, a, err)
		}
	}
	for i := range calls {
		for range 5 {
			all.Go(func() { send(r.arb, i) })
			all.Go(func() { send(second, i) })
		}
	}
	all.Wait()
	for i := range calls {
		send(second, i)
		if futs[i], err = calls[i].Send(t.Context(), r.arb); err != nil {
			t.Fatal(err)
		}
	}
	r.results(futs)
	r.cfg.Ledger.once(t, len(calls))
}

// The reply to a send is lost every time. Send returns an error only after the client has tried
// again. A caller that sends the call once more has one task.
func TestSendOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r, p := behindProxy(t, redistest.Start(t, path))
	r.minion()
	r.results(r.send(1, args{}))
	in := p.Inject(redisproxy.Fault{Match: redisproxy.Script("enqueue"), Do: redisproxy.CutAfter, Times: -1})
	call := work.Bind(args{})
	_, err := call.Send(t.Context(), r.arb)
	var sub *task.SubmitError
	if !errors.As(err, &sub) || !sub.Indeterminate() || sub.Failed[0].ID != call.Request().ID() {
		t.Fatalf("Send returned %v, want an indeterminate *task.SubmitError with the id", err)
	}
	t.Logf("after %d tries the error is %v", in.Hits(), err)
	in.Remove()
	r.again(call)
	r.cfg.Ledger.once(t, 2)
}
