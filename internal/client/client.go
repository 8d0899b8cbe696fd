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
	"github.com/go-arbiter/arbiter/internal/squad"
	"github.com/go-arbiter/arbiter/task"
)

// This file has the client itself: its parts, how it starts and how it closes. Almost all state
// of a client is guarded by one mutex, Client.mu: the table of tasks, the waits, and the flags
// that say which background goroutines run. Each background job (sweep, check, drain, receive)
// is a goroutine that starts when there is work and ends when there is none, so an idle client
// costs nothing. Close ends the waits first, then lets submissions finish as a whole, and then
// ends everything that they needed.

// Config holds what New needs. Only Broker is required.
type Config struct {
	Broker broker.Broker
	Codec  codec.Codec // encodes arguments and events; default codec.Default(Codecs...)
	Codecs []codec.Codec // further codecs that results may be encoded with
	Logger *slog.Logger // default slog.Default()
	Name   string // the word for the client in errors that say that it is closed; default "client"
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

	ctx     context.Context // for requests; ends last, after Close has let the submissions finish
	cancel  context.CancelFunc
	closing chan struct{} // closed first: from then on no request is repeated
	done    chan struct{} // closed when all waits end
	once    sync.Once // guards Close
	fail    sync.Once // guards the closing of done
	shut    error // the error after Close
	why     error // the error of waits after done is closed; not read before
	wg      sync.WaitGroup

	// sending counts the submissions under way. A submission may need several requests, and
	// Close must not come between them. Add is called with mu held, after a look at closed.
	sending sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	closed   bool
	table    table
	squads   map[broker.ID]chan squad.Message // of the squads that are being sent
	spare    []*Watch // watches of ended waits, kept for reuse
	arrivals bool // the inbox has reported arrivals that drain has not handled yet
	draining bool // a goroutine runs drain
	sweeping bool // a goroutine runs sweep
	vigils   vigils // the waits under way, by the time of their next check
	checking bool // a goroutine runs check
	roster   *roster // the result of the last check; nil if there was none
	told     map[trouble]time.Time // when each trouble was last logged
	armed    time.Time // when timer fires; zero if it is not set
	timer    *time.Timer
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
	if f, ok := cfg.Broker.(broker.Follower); ok {
		c.follow, c.table.still = f, true
	}
	if c.codec == nil {
		c.codec = codec.Default(c.codecs...)
	}
	c.codecs = append([]codec.Codec{c.codec}, c.codecs...)
	if c.log == nil {
		c.log = slog.Default()
	}
	c.shut = fmt.Errorf("the %s is %w", cmp.Or(cfg.Name, "client"), broker.ErrClosed)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.sender = newSender(c.ctx, c.closing, c.shut, c.b.Enqueue)
	c.sender.begin, c.sender.end = c.begin, c.end
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
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		f()
	}()
	return true
}

// retryable reports whether a request that failed with err may succeed when it is repeated.
// Repeating is safe because every task and flow has an id.
func retryable(err error) bool {
	return (errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate)) &&
		!errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrInvalid) && !errors.Is(err, broker.ErrDamaged)
}
