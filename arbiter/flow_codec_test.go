package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func TestFlowsInJSON(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.arb = r.arbiter(arbiter.Codec(codec.JSON()))
		r.flowCrew(2, moody)
		call := task.Then(task.All(work.Bind(args{1}), task.Then(work.Bind(args{2}), plus(10))), sumStep())
		if n, err := run(r, call); n != 13 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		n, err := run(r, task.Then(task.Collect(work.Bind(args{0})), countStep()))
		if n != 0 || err != nil {
			t.Errorf("none succeeded: %d, %v", n, err)
		}
		got, err := run(r, task.Collect(work.Bind(args{1}), work.Bind(args{0})))
		if err != nil || len(got) != 2 || *got[0] != 1 || got[1] != nil {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// opaque is a codec that is not a Combiner.
type opaque struct{ codec.Codec }

func (opaque) Name() string { return "opaque" }

// If results can't be combined, the error tells why.
func TestCodecThatCannotCombine(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := opaque{codec.Msgpack()}
		r.arb = r.arbiter(arbiter.Codec(c))
		r.flowCrew(2, moody, minion.Codecs(c))
		_, err := run(r, task.Then(work.Bind(args{1}), plus(1)))
		if !errors.Is(err, task.ErrNoUpstream) || !strings.Contains(err.Error(), "codec opaque can't combine values") {
			t.Errorf("a pipe: %v", err)
		}
		fut, err := task.All(work.Bind(args{1})).Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := await(t, fut); err == nil || !strings.Contains(err.Error(), "codec opaque can't combine values") {
			t.Errorf("a group: %v", err)
		}
		st, err := r.arb.Status(t.Context(), fut.ID())
		if err != nil || st.State != broker.StateSucceeded || st.Error == nil {
			t.Errorf("its status: %+v, %v", st, err)
		}
		if _, err := st.Result(); err == nil {
			t.Error("the status has a result")
		}
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1, 2))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := g.Results(t.Context()); len(got) != 2 || got[1] != 2 || err != nil {
			t.Errorf("one by one: %v, %v", got, err)
		}
	})
}

// A task without a result counts as one whose result is an empty struct.
func TestNothingUpstream(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		type noneArgs struct {
			Upstream task.None `arbiter:"upstream"`
			N        int       `arbiter:"n"`
		}
		type nonesArgs struct {
			Upstream []task.None `arbiter:"upstream"`
		}
		r.flowCrew(2, echo)
		step := task.NewStep[task.None](task.Define[noneArgs, task.None]("note2"), "upstream", map[string]any{"n": 5})
		list := task.NewStep[[]task.None](task.Define[nonesArgs, int]("len"), "upstream", nil)
		m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0), minion.Queue("other")))
		if err := errors.Join(
			task.HandleFunc(m, "note2", func(_ context.Context, a codec.Arguments) (any, error) {
				if up, ok := a.Named["upstream"].(map[string]any); !ok || len(up) > 0 {
					t.Errorf("upstream %v", a.Named)
				}
				return task.None{}, nil
			}),
			task.Handle(m, task.Define[nonesArgs, int]("len"), func(_ context.Context, a nonesArgs) (int, error) { return len(a.Upstream), nil }),
		); err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(t.Context(), 1) }()
		t.Cleanup(func() { _ = m.Close() })
		other := task.Queue("other")
		note := noteTask.Bind(args{1})
		n, err := run(r, task.Then(task.All(note, task.Then(note, step.With(other))), list.With(other)))
		if n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}
