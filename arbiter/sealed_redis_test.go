package arbiter_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The record that Redis keeps of a task that was cancelled while it waited names no codec. If a group has only such members,
// its result is in the codec of the next task, or of the process that sees its end.
func TestNoneLeftOnRedis(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return
	}
	url := redistest.Start(t, path).URL()
	for _, c := range append(sealings(t), codec.JSON()) {
		t.Run(c.Name(), func(t *testing.T) {
			b, err := redis.Open(t.Context(), url, redis.Namespace(strings.ReplaceAll(c.Name(), "+", "-")), redis.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }()
			arb, err := arbiter.New(b, arbiter.Codec(c), arbiter.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = arb.Close() }()
			counted, err := task.Then(task.Collect(work.Bind(args{1})), countStep()).Send(t.Context(), arb)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := task.Collect(work.Bind(args{2})).Send(t.Context(), arb)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []task.ID{counted.ID(), alone.ID()} {
				for id.Kind() != broker.KindTask { // down to the first member of the first member
					g, err := b.Members(t.Context(), id, 0, 1, true)
					if err != nil {
						t.Fatal(err)
					}
					id = g[0].ID
				}
				if _, err := arb.Kill(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			m := must(minion.New(b, minion.Codec(c), minion.Logger(silent)))
			err = task.Handle(m, countTask, func(_ context.Context, a countArgs) (int, error) { return len(a.Upstream), nil })
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = m.Run(context.Background(), 1) }()
			defer func() { _ = m.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if n, err := counted.Result(ctx); n != 1 || err != nil {
				t.Errorf("what follows: %d, %v", n, err)
			}
			if got, err := alone.Result(ctx); err != nil || len(got) != 1 || got[0] != nil {
				t.Errorf("the group: %v, %v", got, err)
			}
		})
	}
}
