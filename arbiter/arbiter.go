package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/task"
)

// Arbiter submits tasks and waits for them. It is a [task.Submitter]. Its
// methods may be called concurrently. Its inbox is opened with the first
// submission; before that it costs nothing.
type Arbiter struct {
	b      broker.Broker
	client *client.Client
	codec  codec.Codec
	codecs []codec.Codec
	roster *roster // nil unless schemas are checked
}

var (
	_ task.Submitter = (*Arbiter)(nil)
	_ task.Emitter   = (*Arbiter)(nil)
)

// New returns an arbiter on a broker, which it does not own: closing the
// arbiter leaves the broker open. The error wraps [task.ErrInvalid] and names
// the option that can't be.
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
		a.roster = new(roster)
	}
	return a, nil
}

// Submit stores calls, in as few round trips as possible: those of one
// submission go together, and those of concurrent small submissions share
// requests. Typed handles call it; see [task.Call.Send] and [task.SendAll].
//
// It returns nil if all calls are stored, else a [*task.SubmitError]. A broker
// that can't be reached, or whose reply is lost, is tried again for five
// seconds, or until ctx ends. If ctx ends while a request is under way, the
// error of its calls wraps [task.ErrIndeterminate] and ctx's error.
func (a *Arbiter) Submit(ctx context.Context, calls ...task.Bound) error {
	return a.submit(ctx, calls)
}

// Await waits until a task is done and decodes its result into the pointer
// into, or drops it if into is nil. Typed futures call it; see
// [task.Future.Result] for the errors.
func (a *Arbiter) Await(ctx context.Context, id task.ID, into any) error {
	return a.client.Await(ctx, id, into)
}

// AwaitTurn waits until turn is closed, while another goroutine awaits the task with
// [Arbiter.Await]. A future calls it if several goroutines wait for its result. If ctx
// ends first, the error is a [*task.WaitError] that says why the task is not done.
func (a *Arbiter) AwaitTurn(ctx context.Context, id task.ID, turn <-chan struct{}) error {
	return a.client.AwaitTurn(ctx, id, turn)
}

// Close ends every wait with [task.ErrClosed], lets submissions that are under
// way finish, each as a whole, and refuses new ones. Requests that fail are not
// tried again then, and a squad that has not started is taken back. Tasks that were
// sent go on: they live in the broker, and another arbiter can get their results.
// The broker stays open. Close may be called twice; its error is always nil.
func (a *Arbiter) Close() error { return a.client.Close() }
