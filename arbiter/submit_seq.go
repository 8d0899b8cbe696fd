package arbiter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/slab"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// SubmitSeq stores the calls that an iterator yields, in their order, with little memory however many they are. It takes a
// part of them: up to 1,000 calls, or 4 MiB of arguments as they are encoded. It stores the part as [Arbiter.Submit] does, and takes the
// next one. A pipe or group counts as many calls more as it has members. The arguments of a single task are encoded
// before the next call is taken, so the iterator may use their memory again.
//
// It stops at the first part of which a call is not stored. It returns how many calls are stored, and an error that says so
// and wraps a [*task.SubmitError]. There Total is the number of calls that were taken, and the Index of a failed call
// is its position in the sequence. All other calls that were taken are stored. So a caller can send the failed
// ones again, and go on with a sequence that begins at the position Total. A call that joins another task, see
// [task.ConflictJoin], counts as stored.
//
// A call whose queue is full is refused, too, unless it has [task.WaitForRoom]. An iterator that is slow delays the calls that
// were taken before. If ctx ends, SubmitSeq stops after the call that it takes next. [task.Spread] says how the starts
// of the tasks are spread. The result of a call can be had by a future, which [task.NewFuture] makes of the id of its request.
func (a *Arbiter) SubmitSeq(ctx context.Context, calls iter.Seq[task.Bound]) (stored int, err error) {
	if calls == nil {
		return 0, fmt.Errorf("arbiter: %w: SubmitSeq(nil)", broker.ErrInvalid)
	}
	s := sequence{a: a}
	for call := range calls {
		if err = s.add(ctx, call); err != nil {
			return s.stored, err
		}
	}
	err = s.send(ctx)
	return s.stored, err
}

// sequence is a SubmitSeq under way.
type sequence struct {
	a        *Arbiter
	spread   request.SpreadSeq
	part     []task.Bound // the calls that were taken and are not sent yet
	weight   int          // the tasks of part
	bytes    int          // the bytes of these tasks, as far as they are known
	payloads slab.Bytes   // memory for their arguments
	sent     int          // calls before part
	stored   int
}

// add takes a call, and sends the part if it is full.
func (s *sequence) add(ctx context.Context, call task.Bound) error {
	if len(s.part) == 0 {
		s.payloads.Left = broker.MaxBatch
	}
	s.part = append(s.part, call)
	s.weight++
	if call != nil && call.Request() != nil {
		s.weigh(call.Request())
	}
	if s.weight >= broker.MaxBatch || s.bytes >= broker.MaxBatchBytes || ctx.Err() != nil {
		return s.send(ctx)
	}
	return nil
}

// weigh adds a request to the size of the part. That encodes the arguments of a single task, and the request keeps them. A request
// that can't be encoded gets its error when it is sent.
func (s *sequence) weigh(req *request.Request) {
	if f := req.Flow(); f != nil {
		s.weight += len(f.Members)
		return
	}
	s.spread.Place(req)
	var t broker.Task
	err := req.Draft(&t, s.a.codec, time.Time{}, s.payloads.Room())
	s.payloads.Keep(t.Payload)
	if err == nil {
		s.bytes += t.Size()
	}
}

// send stores the part.
func (s *sequence) send(ctx context.Context) error {
	if len(s.part) == 0 {
		return nil
	}
	err := s.a.submit(ctx, s.part)
	first, n := s.sent, len(s.part)
	s.sent += n
	var sub *task.SubmitError
	switch {
	case errors.As(err, &sub):
		requests := make([]*request.Request, n)
		for i, call := range s.part {
			if call != nil {
				requests[i] = call.Request()
			}
		}
		_, err = join(sub, requests)
	case err != nil:
		return err
	}
	if !errors.As(err, &sub) {
		s.stored += n
		clear(s.part)
		s.part, s.weight, s.bytes = s.part[:0], 0, 0
		return nil
	}
	at := &task.SubmitError{Failed: sub.Failed, Total: s.sent}
	for i := range at.Failed {
		at.Failed[i].Index += first
	}
	s.stored += n - len(at.Failed)
	return fmt.Errorf("%d of %d calls are stored: %w", s.stored, s.sent, at)
}
