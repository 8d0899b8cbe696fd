package childtask

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/durable"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Server is the child's side: it runs the attempts that the minion sends.
type Server struct {
	child    *isolate.Child
	handlers map[string]task.Registration
	codec    codec.Codec // encodes the calls that handlers send
	codecs   []codec.Codec
}

// Setup returns what a pool sends to its children once, isolate.Config.Setup: the name of the
// codec for the calls that handlers send.
func Setup(c codec.Codec) []byte { return []byte(c.Name()) }

// NewServer returns the server of a child process with the codecs that it accepts. One of them is
// the codec of Setup.
func NewServer(c *isolate.Child, codecs []codec.Codec) (*Server, error) {
	enc, err := codec.ByName(string(c.Setup), codecs...)
	if err != nil {
		return nil, fmt.Errorf("the minion's codec is not among those of minion.Child: %w", err)
	}
	return &Server{child: c, codec: enc, codecs: codecs}, nil
}

// Serve runs attempts with the handlers of the given names, until the process ends. It does not
// return.
func (s *Server) Serve(handlers map[string]task.Registration) {
	s.handlers = handlers
	s.child.Serve(s.run, failure.DecodeCause)
}

// run runs one attempt and returns the encoded Done.
func (s *Server) run(ctx context.Context, w *isolate.Work) []byte {
	var job Job
	if err := unpack(w.Body, &job); err != nil {
		return pack(&Done{Err: failure.Pack(err)})
	}
	if job.Left > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, job.Left, failure.DecodeCause([]byte(job.LeftCause)))
		defer cancel()
	}
	sends := &submitter{
		s: s, w: w,
		child: client.Child{Parent: job.ID, Attempt: job.Attempt},
	}
	ctx = task.NewContext(ctx, &task.Info{
		ID: job.ID, Name: job.Name, Queue: job.Queue,
		Attempt: job.Attempt, Retried: job.Retried, MaxRetries: job.MaxRetries, Recoveries: job.Recoveries,
		Meta: job.Meta, Enqueued: job.Enqueued,
		Submitter: sends, OnSuccess: (*onSuccess)(sends),
	})
	steps := &stepStore{p: sends}
	out, unfit, err := s.handle(ctx, &job, steps)
	return pack(&Done{Result: out, Err: safeError(err), Unfit: unfit, Signal: steps.signal})
}

// handle calls the handler and turns its panics into errors. unfit reports that the child
// can't run the task.
func (s *Server) handle(ctx context.Context, job *Job, steps *stepStore) (out []byte, unfit bool, err error) {
	reg, ok := s.handlers[job.Name]
	if !ok {
		return nil, true, task.NoRetry(fmt.Errorf("%w %q in the child: minion.Child does not register it", task.ErrUnknownTask, job.Name))
	}
	enc, err := codec.ByName(job.Codec, s.codecs...)
	if err != nil {
		return nil, true, task.NoRetry(fmt.Errorf("in the child: %w", err))
	}
	ctx = context.WithValue(ctx, durable.Key{}, durable.New(steps, seal.Plain(enc), s.codecs, job.Attempt == 1))
	done := make(chan struct{})
	go func() { // a runtime.Goexit ends only this goroutine
		defer close(done)
		returned := false
		defer func() {
			if !returned {
				err = failure.NewPanic(recover())
			}
		}()
		out, err = reg.Handler(ctx, seal.Plain(enc), job.Payload, nil) // the minion opens and seals; the child sees plain bytes
		returned = true
	}()
	<-done
	if err != nil {
		return nil, false, err
	}
	if len(out) > job.Limit {
		return nil, false, fmt.Errorf("%w: %w: %d bytes, the limit is %d", task.ErrBadResult, broker.ErrTooLarge, len(out), job.Limit)
	}
	return out, false, nil
}

// safeError is failure.Pack for an error of the user's code, whose methods may panic.
func safeError(err error) (w *failure.Wire) {
	defer func() {
		if p := recover(); p != nil {
			w = failure.Pack(failure.NewMethodPanic(p, err))
		}
	}()
	return failure.Pack(err)
}
