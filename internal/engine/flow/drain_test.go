package flow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// stubborn is a broker that refuses to count the members of one flow.
type stubborn struct {
	*faulty.Broker
	flow broker.ID
}

func (b *stubborn) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	if id == b.flow {
		return nil, errStubborn
	}
	return b.Broker.Arrive(ctx, id, arrivals)
}

var errStubborn = errors.New("stubborn")

// Arrivals that can't be handled keep no others from being handled, not even those on later
// pages.
func TestDrainGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		b := &stubborn{Broker: w.bad}
		w.driver = &flow.Driver{Broker: b, Log: silent}
		b.flow = w.send(group(request.GroupSettings{Quorum: 2}, num(0), num(1).With(task.Delay(time.Second))))
		w.run()
		members := make([]task.Bound, broker.MaxBatch+500)
		for i := range members {
			members[i] = num(i)
		}
		id := w.send(group(request.GroupSettings{Quorum: 1}, members...))
		for w.run() > 0 {
		}
		time.Sleep(time.Second)
		w.run() // so an arrival that can't be counted is on the first page in any order
		if err := w.driver.Drain(t.Context(), "default"); !errors.Is(err, errStubborn) {
			t.Errorf("drain: %v", err)
		}
		p, err := w.b.(broker.Flows).LookupFlow(t.Context(), id)
		if err != nil || p.Outcome == nil {
			t.Errorf("%d of %d members arrived, %v", p.Arrived(), len(members), err)
		}
		left, err := w.b.(broker.Flows).Arrivals(t.Context(), "default", broker.MaxBatch)
		if err != nil || len(left) != 2 || left[0].Flow != b.flow {
			t.Errorf("%d arrivals are left, %v", len(left), err)
		}
	})
}

// Arrivals of tasks that a kill has cancelled are handled although another arrival can't be.
func TestDrainOfCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		b := &stubborn{Broker: w.bad}
		w.driver = &flow.Driver{Broker: b, Log: silent}
		b.flow = w.send(group(request.GroupSettings{Quorum: 1}, num(0)))
		w.run()
		// The member that fails dooms the group, and the other is cancelled.
		id := w.send(group(request.GroupSettings{Quorum: 2}, num(-1), other.With(task.Delay(time.Hour)).Bind(numArgs{1})))
		w.run()
		if err := w.driver.Drain(t.Context(), "default"); !errors.Is(err, errStubborn) {
			t.Errorf("drain: %v", err)
		}
		p, err := w.b.(broker.Flows).LookupFlow(t.Context(), id)
		if err != nil || p.Outcome == nil {
			t.Errorf("the group: %+v, %v", p, err)
		}
	})
}
