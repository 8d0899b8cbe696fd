package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/task"
)

// This file has the client itself: its parts, how it starts and how it closes. Almost all state
// of a client is guarded by one mutex, Client.mu: the table of tasks, the waits, and the flags
// that say which background goroutines run. Each background job (lookUpDue, check, drain,
// receive) is a goroutine that starts when there is work and ends when there is none, so an
// idle client costs nothing. Close ends the waits first, then lets submissions finish as a
// whole, and then ends everything that they needed.

// Config holds what New needs. Only Broker is required.
type Config struct {
	Broker broker.Broker
	Codec  codec.Codec   // encodes arguments and events; default codec.Default(Codecs...)
	Codecs []codec.Codec // further codecs that results may be encoded with
	Logger *slog.Logger  // default slog.Default()
	Name   string        // the word for the client in errors that say that it is closed; default "client"
}

// Client sends tasks and waits for their outcomes. Its methods may be called concurrently. The
// first submission opens the inbox; before that the client has no goroutine and no timer.
type Client struct {
	b      broker.Broker
	codec  codec.Codec
	codecs []codec.Codec
	log    *slog.Logger
	limits broker.Limits
	follow broker.Follower // nil if the broker's pushes can be lost
	sender *sender
	inbox  mailbox

	// ctx is for requests of the client. It ends last, after Close has let the submissions
	// finish. closing is closed first: from then on no request is repeated.
	ctx     context.Context
	cancel  context.CancelFunc
	closing chan struct{}
	// done is closed when all waits end; why is their error then, and is not read before. shut
	// is the error after Close.
	done chan struct{}
	once sync.Once // guards Close
	fail sync.Once // guards the closing of done
	shut error
	why  error
	wg   sync.WaitGroup

	// sending counts the submissions under way. A submission may need several requests, and
	// Close must not come between them. Add is called with mu held, after a look at closed.
	sending sync.WaitGroup
	room    roomLines // of calls that wait for room in a queue

	mu     sync.Mutex // guards the fields below
	closed bool
	table  table
	squads map[broker.ID]chan squad.Message // of the squads that are being sent
	// spare has watches of ended waits, for reuse.
	spare []*Watch
	// arrivals says that the inbox has reported arrivals which drain has not handled yet.
	arrivals bool
	// Each of these says that a goroutine runs the method of that name.
	draining  bool // drain
	lookingUp bool // lookUpDue
	checking  bool // check
	// waits has the waits under way, by the time of their next check.
	waits checkSchedule
	// minions is the result of the last check, nil if there was none. logged has the time at
	// which each obstacle was last logged.
	minions *minionSummary
	logged  map[obstacle]time.Time
	// armed is when timer fires, zero if it is not set.
	armed time.Time
	timer *time.Timer
}

// New returns a client on a broker. Close of the client does not close the broker.
func New(cfg Config) *Client {
	c := &Client{
		b: cfg.Broker, codec: cfg.Codec, codecs: cfg.Codecs, log: cfg.Logger,
		limits:  cfg.Broker.Limits().WithDefaults(),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		table:   newTable(),
	}
	// A Follower says by its type that it loses no push.
	if f, ok := cfg.Broker.(broker.Follower); ok {
		c.follow, c.table.lossless = f, true
	}
	if c.codec == nil {
		c.codec = codec.Default(c.codecs...)
	}
	// Results may be encoded by any of the codecs, so the codec of arguments is one of them.
	c.codecs = append([]codec.Codec{c.codec}, c.codecs...)
	if c.log == nil {
		c.log = slog.Default()
	}
	c.shut = fmt.Errorf("the %s is %w", cmp.Or(cfg.Name, "client"), broker.ErrClosed)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.sender = newSender(c.ctx, c.closing, c.shut, c.b.Enqueue)
	c.sender.begin, c.sender.done = c.beginBatches, c.endBatches
	return c
}

// Codec returns the codec that encodes arguments and events.
func (c *Client) Codec() codec.Codec { return c.codec }

// Done returns a channel that is closed when the client or its broker is closed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Why returns an error that wraps ErrClosed and says whether the client or its broker was
// closed. It may be called once the channel of Done is closed.
func (c *Client) Why() error { return c.why }

// Submit implements [task.Submitter].
func (c *Client) Submit(ctx context.Context, calls ...task.Bound) error {
	return c.submit(ctx, nil, calls)
}

// Close ends all waits with ErrClosed, lets the submissions under way finish, and returns when
// no goroutine of the client is left. A submission under way is still sent as a whole. But a
// request that fails is not repeated, and a squad that has not started is withdrawn. Close may
// be called more than once.
func (c *Client) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		c.closed = true
		if c.timer != nil {
			c.timer.Stop()
		}
		c.mu.Unlock()
		// The order matters: first repetitions and waits end, so that submissions under way
		// finish soon; then the parts that submissions need; then the goroutines.
		close(c.closing)
		c.endWaits(c.shut)
		c.sending.Wait() // first, because submissions need the sender, ctx and the inbox
		c.sender.close()
		c.cancel()
		c.inbox.close()
		c.wg.Wait()
	})
	return nil
}

// endWaits makes every wait return why, which wraps ErrClosed. Only the first call has an
// effect.
func (c *Client) endWaits(why error) {
	c.fail.Do(func() {
		c.why = why
		close(c.done)
	})
}

// spawn runs f in a goroutine that Close waits for. It returns false, without a goroutine,
// after Close. c.mu is held.
func (c *Client) spawn(f func()) bool {
	if c.closed {
		return false
	}
	c.wg.Go(func() {
		f()
	})
	return true
}

// retryable reports whether a request that failed with err may succeed when it is repeated.
// Repeating is safe because every task and flow has an id.
func retryable(err error) bool {
	// Errors that also wrap one of the last three would come again.
	return (errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate)) &&
		!errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrInvalid) && !errors.Is(err, broker.ErrDamaged)
}
