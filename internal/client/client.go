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

// Config is what a client is made of.
type Config struct {
	Broker broker.Broker
	Codec  codec.Codec   // of what is sent; default codec.Default of Codecs
	Codecs []codec.Codec // further ones that results may have
	Logger *slog.Logger  // default slog.Default
	Name   string        // what it is of, for errors that say that it is closed; default client
}

// Client sends tasks and waits for their outcomes. Its methods may be called
// concurrently. It opens its inbox with the first submission, and has neither
// goroutine nor timer before that.
type Client struct {
	b      broker.Broker
	codec  codec.Codec
	codecs []codec.Codec
	log    *slog.Logger
	limits broker.Limits
	follow broker.Follower // nil if the broker's pushes can be lost
	sender *sender
	inbox  mailbox

	ctx     context.Context // ends last, when Close has let the submissions finish
	cancel  context.CancelFunc
	closing chan struct{} // closed first: nothing is tried again
	done    chan struct{} // closed when all waits end
	once    sync.Once     // of Close
	fail    sync.Once     // of done
	shut    error         // says that Close was called
	why     error         // says what has closed done; read once that is closed
	wg      sync.WaitGroup

	// sending are the submissions under way, each as a whole: Close must not come
	// between their requests. Who enters holds mu, and has seen that it is not closed.
	sending sync.WaitGroup

	mu       sync.Mutex // guards what follows
	closed   bool
	table    table
	squads   map[broker.ID]chan squad.Message // that are being sent
	spare    []*Watch                         // used again, to spare garbage
	arrivals bool                             // the inbox has told of arrivals
	draining bool                             // a goroutine runs drain
	sweeping bool                             // a goroutine runs sweep
	vigils   vigils                           // the waits under way
	checking bool                             // a goroutine runs check
	roster   *roster                          // as of the last check; nil if there was none
	told     map[trouble]time.Time            // when it was last logged
	armed    time.Time                        // when timer goes off; zero if it does not
	timer    *time.Timer
}

// New returns a client. It does not own the broker.
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

// Codec returns the codec of what is sent.
func (c *Client) Codec() codec.Codec { return c.codec }

// Done returns a channel that is closed when the client or its broker is.
func (c *Client) Done() <-chan struct{} { return c.done }

// Why returns an error that wraps ErrClosed and says what is closed, the client or its
// broker. Done must be closed.
func (c *Client) Why() error { return c.why }

// Submit implements [task.Submitter].
func (c *Client) Submit(ctx context.Context, calls ...task.Bound) error {
	return c.submit(ctx, nil, calls)
}

// Close ends all waits with ErrClosed, lets submissions under way finish, and
// returns when no goroutine of the client is left. What is being sent is sent as a
// whole; but no request that fails is tried again, and a squad that has not started
// is taken back. It may be called twice.
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
		c.sending.Wait() // before what they need ends: the sender, ctx and the inbox
		c.sender.close()
		c.cancel()
		c.inbox.close()
		c.wg.Wait()
	})
	return nil
}

// endWaits lets every wait return why, which wraps ErrClosed. Only the first call
// counts.
func (c *Client) endWaits(why error) {
	c.fail.Do(func() {
		c.why = why
		close(c.done)
	})
}

// spawn starts a goroutine that Close waits for, unless Close was called. c.mu
// is held.
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

// retryable reports whether the request that ended in err can be sent again
// with some hope.
func retryable(err error) bool {
	return (errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate)) &&
		!errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrInvalid) && !errors.Is(err, broker.ErrDamaged)
}
