package arbiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// A group or pipe is kept for as long as one of its members may wait: the next task runs, no matter how long the member
// was delayed.
func TestFlowOutlivesItsMembers(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		late  time.Duration // how long the member is delayed
		waits []time.Duration
		say   func(time.Duration) error // the error with which a member asks to wait
	}{
		"delays":  {9 * 365 * day, nil, nil},
		"retries": {0, []time.Duration{40 * day, 9 * 365 * day}, func(d time.Duration) error { return task.RetryAfter(d, errBad) }},
		"snoozes": {31 * day, []time.Duration{40 * day, 40 * day}, task.Snooze},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				member := func(ctx context.Context, a args) (int, error) {
					info, _ := task.FromContext(ctx)
					if n := int(info.Attempt) - 1; n < len(test.waits) {
						return 0, test.say(test.waits[n])
					}
					return a.N, nil
				}
				first := work.With(task.Delay(test.late))
				p, err := r.arb.Pipe(t.Context(), []task.Bound{first.Bind(args{1}), note(2)})
				if err != nil {
					t.Fatal(err)
				}
				inner := task.All(task.Then(first.Bind(args{3}), plus(1)))
				g, err := r.arb.Group(t.Context(), []task.Bound{inner, first.Bind(args{4})},
					arbiter.Callback(note(3)), arbiter.Finalizer(note(4), 0), arbiter.Finalizer(note(5), 0))
				if err != nil {
					t.Fatal(err)
				}
				noted := 0
				for _, d := range append([]time.Duration{test.late}, test.waits...) {
					time.Sleep(d) // without a minion, since its heartbeats would slow the test down
					m, j := r.newFlowCrew(member)
					stopped := make(chan struct{})
					go func() {
						defer close(stopped)
						_ = m.Run(context.Background(), 1)
					}()
					time.Sleep(time.Second)
					noted += len(j.noted())
					_ = m.Stop(context.Background())
					<-stopped
				}
				if noted != 4 {
					t.Errorf("%d of what follows have run, want 4", noted)
				}
				if err := errors.Join(p.Result(t.Context(), nil), g.Result(t.Context(), nil)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
