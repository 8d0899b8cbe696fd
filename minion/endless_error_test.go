package minion_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// loop is an error that wraps itself.
type loop struct{}

func (l *loop) Error() string { return "loop" }
func (l *loop) Unwrap() error { return l }

// knot is an error that wraps itself several times.
type knot struct{}

func (k *knot) Error() string   { return fmt.Sprint(k.Unwrap()) } // recurses, as the message of a joined error does
func (k *knot) Unwrap() []error { return []error{k, k} }

func init() {
	deeds["loop"] = func(context.Context, deed) (trace, error) { return trace{}, &knot{} }
}

// An error that unwraps to itself fails its task like any other error. It neither blocks
// the slot nor ends the minion.
func TestEndlessError(t *testing.T) {
	marked := &task.NoRetryError{}
	marked.Err = marked
	for name, bad := range map[string]error{
		"a loop": &loop{}, "a knot": &knot{}, "below": errors.Join(errBad, &knot{}), "a mark": marked,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.crew(1, func(_ context.Context, a args) (int, error) {
					if a.N == 0 {
						return 0, bad
					}
					return a.N, nil
				}, minion.Retry(1, task.Constant(0)))
				fut, next := r.send(0), r.send(1)
				_, err := r.result(fut)
				var remote *task.RemoteError
				if !errors.As(err, &remote) || !strings.Contains(remote.Message, "wraps itself") || !strings.Contains(remote.Message, fmt.Sprintf("%T", bad)) {
					t.Errorf("error %v", err)
				}
				r.want(fut, broker.StateFailed, 2, 1)
				if n, err := r.result(next); n != 1 || err != nil {
					t.Errorf("result: %v, %v", n, err)
				}
			})
		})
	}
}

func TestIsolatedEndlessError(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	first, err := y.do(deed{What: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	if remote := y.remote(deed{What: "loop"}); !strings.Contains(remote.Message, "*minion_test.knot wraps itself") {
		t.Error(remote)
	}
	if again, err := y.do(deed{What: "echo"}); err != nil || again.PID != first.PID {
		t.Errorf("the child did not survive: %v, %v", again, err)
	}
}
