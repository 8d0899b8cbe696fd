package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// The error of a group or pipe names the member that caused the failure and its outcome, also if that member was killed or
// has expired and others were canceled because of it.
func TestBlame(t *testing.T) {
	steps := func(seconds ...int) []task.Bound {
		calls := make([]task.Bound, len(seconds))
		for i, n := range seconds {
			calls[i] = work.Bind(args{n})
		}
		return calls
	}
	brief := work.With(task.Within(2 * time.Second)).Bind(args{5})
	for name, test := range map[string]struct {
		pipe  bool
		calls []task.Bound
		kill  []int // the members to kill, one after the other
		want  string
		is    error
		not   error
	}{
		"a step that waits is killed": {true, steps(10, 1, 1), []int{1}, "member 1 (work) was canceled", task.ErrCanceled, task.ErrExpired},
		"the last step is killed":     {true, steps(10, 1, 1), []int{2}, "member 2 (work) was canceled", task.ErrCanceled, nil},
		"a step that runs is killed":  {true, steps(10, 1), []int{0}, "member 0 (work) was canceled: context canceled", task.ErrCanceled, nil},
		"a step has expired":          {true, []task.Bound{brief, work.Bind(args{1})}, nil, "member 0 (work) has expired: ", task.ErrExpired, task.ErrCanceled},
		"a member is killed":          {false, steps(10, 10, 10), []int{2}, "member 2 (work) was canceled: context canceled", task.ErrCanceled, nil},
		"a member has expired":        {false, []task.Bound{work.Bind(args{9}), brief}, nil, "member 1 (work) has expired: ", task.ErrExpired, nil},
		"a pipe in a group is killed": {false, []task.Bound{work.Bind(args{9}), task.Then(work.Bind(args{9}), plus(1))}, []int{1}, "member 1 (pipe) was canceled", task.ErrCanceled, nil},
		"a member of one in it":       {false, []task.Bound{work.Bind(args{9}), task.All(work.Bind(args{9}), brief.With())}, nil, "member 1 (group) failed: member 1 (work) has expired: ", task.ErrExpired, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.crew(4, slow)
				var h sent
				var err error
				if test.pipe {
					h, err = r.arb.Pipe(t.Context(), test.calls)
				} else {
					h, err = r.arb.Group(t.Context(), test.calls, arbiter.Callback(note(1)))
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				ids, err := h.Members(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range test.kill {
					if _, err := r.arb.Kill(t.Context(), ids[i]); err != nil {
						t.Fatal(err)
					}
				}
				err = h.Result(t.Context(), nil)
				var remote *task.RemoteError
				if !errors.As(err, &remote) || !strings.HasPrefix(remote.Message, test.want) {
					t.Errorf("error %v, want %s", err, test.want)
				}
				if !errors.Is(err, task.ErrFlowFailed) || !errors.Is(err, test.is) || test.not != nil && errors.Is(err, test.not) {
					t.Errorf("%v wraps the wrong errors", err)
				}
				if st, err := h.Status(t.Context()); err != nil || !test.pipe && len(test.kill) > 0 &&
					st.Flow.Reason != fmt.Sprintf("%d of %d members had to succeed, and %s did not: %s",
						len(ids), len(ids), blamed(&st, test.kill[0]), st.Flow.Tasks[test.kill[0]].State)+told(&st, test.kill[0]) {
					t.Errorf("the callback never runs, for %q; %v", st.Flow.Reason, err)
				}
			})
		})
	}
}

// sent is a Group or a Pipe.
type sent interface {
	Members(ctx context.Context) ([]task.ID, error)
	Result(ctx context.Context, into any) error
	Status(ctx context.Context, opts ...arbiter.StatusOption) (arbiter.Status, error)
}

// blamed returns the name of a member in error messages.
func blamed(st *arbiter.Status, i int) string {
	if m := st.Flow.Tasks[i]; m.Name != "" {
		return m.Name
	}
	return st.Flow.Tasks[i].ID.String()
}

// told returns the end of the error message: the message of a member's error.
func told(st *arbiter.Status, i int) string {
	if f := st.Flow.Tasks[i].Error; f != nil {
		return ": " + f.Message
	}
	return ""
}
