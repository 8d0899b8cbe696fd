package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// Arbiter submits tasks and waits for them. It is a [task.Submitter]. Its methods may be called concurrently. It
// opens its inbox at the broker with the first submission, and uses no resources before.
type Arbiter struct {
	b       broker.Broker
	client  *client.Client
	codec   codec.Codec
	codecs  []codec.Codec
	minions *minionList // nil unless CheckSchema is given
}

var (
	_ task.Submitter = (*Arbiter)(nil)
	_ task.Emitter   = (*Arbiter)(nil)
)

// New returns an arbiter on a broker. Closing the arbiter leaves the broker open. The error wraps [task.ErrInvalid]: the
// broker is nil, or an option, which it names, is invalid.
func New(b broker.Broker, opts ...Option) (*Arbiter, error) {
	if b == nil {
		return nil, fmt.Errorf("arbiter: %w: the broker is nil", broker.ErrInvalid)
	}
	var cfg config
	for _, o := range opts {
		if o != nil {
			o.apply(&cfg)
		}
	}
	if cfg.err != nil {
		return nil, fmt.Errorf("arbiter: %w", cfg.err)
	}
	if cfg.codec == nil {
		cfg.codec = codec.Default(cfg.codecs...)
	}
	c := client.New(client.Config{Broker: b, Codec: cfg.codec, Codecs: cfg.codecs, Logger: cfg.log, Name: "arbiter"})
	a := &Arbiter{b: b, client: c, codec: cfg.codec, codecs: append([]codec.Codec{cfg.codec}, cfg.codecs...)}
	if cfg.checkSchema {
		a.minions = new(minionList)
	}
	return a, nil
}

// Submit stores calls, in as few round trips as possible: the calls of one submission share requests, and so do
// concurrent small submissions. Typed handles call it; see [task.Call.Send] and [task.SendAll].
//
// It returns nil if all calls are stored, or else a [*task.SubmitError]. If the broker can't be reached, or its reply is
// lost, Submit tries again for five seconds, or until ctx ends. If ctx ends while a request is under way, the errors of
// its calls wrap [task.ErrIndeterminate] and ctx's error.
func (a *Arbiter) Submit(ctx context.Context, calls ...task.Bound) error {
	return a.submit(ctx, calls)
}

// Await waits until a task is done and decodes its result into the pointer into. If into is nil, the result is dropped.
// Typed futures call it. The errors are those of [task.Future.Result].
func (a *Arbiter) Await(ctx context.Context, id task.ID, into any) error {
	return a.client.Await(ctx, id, into)
}

// AwaitTurn waits until turn is closed, while another goroutine waits for the task in [Arbiter.Await]. A future calls it
// if several goroutines wait for its result. If ctx ends first, the error is a [*task.WaitError] that tells why the task
// is not done.
func (a *Arbiter) AwaitTurn(ctx context.Context, id task.ID, turn <-chan struct{}) error {
	return a.client.AwaitTurn(ctx, id, turn)
}

// Close ends every wait with [task.ErrClosed]. Submissions that are under way finish, each as a whole, but requests that
// fail are not tried again; new submissions are refused. A squad that has not started is cancelled. Tasks that were sent
// go on: they live in the broker, and another arbiter can get their results. The broker stays open. Close may be called
// twice, and always returns nil.
func (a *Arbiter) Close() error { return a.client.Close() }
