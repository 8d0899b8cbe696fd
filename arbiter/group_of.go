package arbiter

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// GroupFuture is a [Group] whose members all have the result type R.
type GroupFuture[R any] struct{ *Group }

// GroupOf is [Arbiter.Group] for calls of one result type.
func GroupOf[R any](ctx context.Context, a *Arbiter, calls []task.Call[R], opts ...GroupOption) (*GroupFuture[R], error) {
	g, err := a.Group(ctx, task.Calls(calls...), opts...)
	if g == nil {
		return nil, err
	}
	return &GroupFuture[R]{g}, err
}

// GroupThen is [GroupOf] with a callback that gets the results of all members, in the order given. It compiles only if the
// types fit. It also returns the callback's future. All results together must fit into the arguments of a task, 1 MiB by
// default.
//
// With [Quorum] or [Collect] the callback gets nil in place of the result of a member that did not succeed. So R must be a
// type that can be nil, such as a pointer. With another R, such as int, the error wraps [task.ErrInvalid] and nothing is
// sent. Then use [task.Then] of [task.Quorum] or [task.Collect], which make the results pointers, or [CallbackStep], whose
// step gets a []any.
func GroupThen[R, X any](ctx context.Context, a *Arbiter, calls []task.Call[R], callback task.Step[[]R, X], opts ...GroupOption) (*GroupFuture[R], *task.Future[X], error) {
	g, err := GroupOf(ctx, a, calls, append(slices.Clip(opts), callbackOf(a, callback))...)
	if g == nil {
		return nil, nil, err
	}
	return g, task.NewFuture[X](a, g.Callback()), err
}

// callbackOf is [CallbackStep] for a step that gets results of the type R. It refuses policies with which a result may be
// missing if R can't be nil.
func callbackOf[R, X any](a *Arbiter, step task.Step[[]R, X]) GroupOption {
	return groupFunc(func(c *groupConfig) {
		callbackStep(step.Unbound()).applyGroup(c)
		c.takesNil = func() error {
			if takesNil[R](a.codec) {
				return nil
			}
			t := reflect.TypeFor[R]()
			return fmt.Errorf("%w option: Quorum(%d): the result of a member that does not succeed is nil, and the callback takes []%v, "+
				"which can't have nil in it; use a callback that takes []*%[3]v, with task.Then and task.Quorum, or []any, with CallbackStep",
				broker.ErrInvalid, c.Quorum, t)
		}
	})
}

// takesNil reports whether a list of values of type R can have nil in it, by the rules of the codec that decodes it.
func takesNil[R any](c codec.Codec) bool {
	c = seal.Plain(c)
	list, err := func() (list []byte, err error) {
		defer guard.Codec(c.Name(), "AppendValue", &err)
		return c.AppendValue(nil, []any{nil})
	}()
	if err != nil {
		return true // the codec has no nil, so the callback decides
	}
	err = func() (err error) {
		defer guard.Codec(c.Name(), "DecodeValue", &err)
		return c.DecodeValue(list, new([]R))
	}()
	return err == nil
}

// maxNamed is how many members the error of Results lists.
const maxNamed = 10

// Results waits until all members are done, and returns their results in the order given. It does not wait for the callback
// and the finalizer. If some members did not succeed, the other results are valid, and the error joins the errors of the
// first ten members, each like the error of [task.Future.Result].
//
// Any arbiter can read the results for as long as the group is kept, see [GroupRetention]; the members' own retention does
// not matter.
func (g *GroupFuture[R]) Results(ctx context.Context) ([]R, error) {
	ids, err := g.Members(ctx)
	if err != nil {
		return nil, err
	}
	index := make(map[task.ID]int, len(ids))
	for i, id := range ids {
		index[id] = i
	}
	out := make([]R, len(ids))
	errs := make(map[int]error)
	w := g.waitForMembers(ids)
	defer w.close()
	for left := len(ids); !w.over(); {
		arrivals, err := w.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for %d of %d members: %w", left, len(ids), err)
		}
		left -= len(arrivals)
		for i := range arrivals {
			at := index[arrivals[i].ID]
			if err := g.decode(&arrivals[i], &out[at]); err != nil {
				errs[at] = err
			}
		}
	}
	return out, memberErrors(errs, len(ids))
}

func (g *GroupFuture[R]) decode(arrival *client.Completion, into *R) error {
	if err := arrival.Err(); err != nil {
		return err
	}
	return g.a.arrived(arrival).Decode(into)
}

// memberErrors joins the errors of members, in the order of their indexes.
func memberErrors(errs map[int]error, n int) error {
	if len(errs) == 0 {
		return nil
	}
	var joined []error
	for i := 0; i < n && len(joined) < min(len(errs), maxNamed); i++ {
		if err := errs[i]; err != nil {
			joined = append(joined, fmt.Errorf("member %d: %w", i, err))
		}
	}
	if more := len(errs) - len(joined); more > 0 {
		joined = append(joined, fmt.Errorf("and %d more members", more))
	}
	return errors.Join(joined...)
}
