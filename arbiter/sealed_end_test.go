package arbiter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A parked task of a queue that has no minion any more is a dead letter when its time is
// over: a minion of another queue says so, and seals it if it seals.
func TestParkedWithoutAMinion(t *testing.T) {
	for _, c := range append(sealings(t), codec.Msgpack()) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.arb = r.arbiter(arbiter.Codec(c))
				fresh := task.Define[args, int]("fresh")
				fut, err := fresh.Apply(t.Context(), r.arb, args{1})
				if err != nil {
					t.Fatal(err)
				}
				group, err := task.All(fresh.Bind(args{2})).Send(t.Context(), r.arb)
				if err != nil {
					t.Fatal(err)
				}
				old := r.crew(1, echo, minion.Codec(c))
				for {
					st, err := r.arb.Status(t.Context(), fut.ID())
					if err != nil {
						t.Fatal(err)
					}
					if st.Detail == broker.StateParked {
						break
					}
					time.Sleep(time.Millisecond)
				}
				began := time.Now()
				_ = old.Close()
				r.crew(1, echo, minion.Codec(c), minion.Queue("elsewhere"))
				_, err = fut.Result(t.Context())
				if !errors.Is(err, task.ErrUnknownTask) || !strings.Contains(err.Error(), "no minion of queue default has come in time") {
					t.Errorf("the result is %v", err)
				}
				r.near("the end", began, 24*time.Hour+broker.AbandonedAfter-time.Second, time.Minute)
				if _, err = group.Result(t.Context()); !errors.Is(err, task.ErrFlowFailed) || !errors.Is(err, task.ErrUnknownTask) {
					t.Errorf("the group's result is %v", err)
				}
				letters, _, err := r.b.Broker.(broker.Inspector).DeadLetters(t.Context(), "default", "", 10)
				if err != nil || len(letters) != 2 {
					t.Errorf("dead letters: %+v, %v", letters, err)
				}
				if st, err := r.arb.Status(t.Context(), fut.ID()); err != nil || st.Outcome != arbiter.Failed || st.Attempts != 0 {
					t.Errorf("the status is %+v, %v", st, err)
				}
			})
		})
	}
}
