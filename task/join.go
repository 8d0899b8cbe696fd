package task

import (
	"errors"
	"slices"

	"github.com/go-arbiter/arbiter/task/request"
)

// join takes the calls with [ConflictJoin] out of the error of a submission of reqs, and returns
// the tasks that have their keys, by the positions of the calls. A call that can't join keeps its
// error, with the reason.
func join(err error, reqs ...*request.Request) (joined map[int]ID, left error) {
	sub, ok := errors.AsType[*SubmitError](err)
	if !ok {
		return nil, err
	}
	failed := slices.Clone(sub.Failed) // the error may be shared
	rest := failed[:0]
	for _, f := range failed {
		if f.Index < len(reqs) && reqs[f.Index] != nil {
			holder, joins, reason := reqs[f.Index].Join(f.Err)
			if joins {
				if joined == nil {
					joined = make(map[int]ID)
				}
				joined[f.Index] = holder
				continue
			}
			if reason != nil {
				f.Err = reason
			}
		}
		rest = append(rest, f)
	}
	if len(rest) == 0 {
		return joined, nil
	}
	return joined, &SubmitError{Failed: rest, Total: sub.Total}
}
