package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// This file has the Broker and its life: New, Limits and Close.
//
// One Broker serves any number of arbiters and minions of a process. They share its
// client, its pub/sub connection (hub), its list of queues (queues) and its background
// goroutine (housekeeping), which sweeps outcomes whose retention is over and looks after queues
// without a minion. The goroutine and the connection are started when they are first
// needed, so New does no I/O. Close cancels ctx, which ends all of it.

// Broker keeps tasks in Redis. Make one with [Open] or [New]. It may be used by several
// goroutines at once, and one Broker serves all arbiters and minions of a process. Programs
// that only send and run tasks call few of its methods: Close, and those of
// [broker.Inspector].
type Broker struct {
	rdb          redis.UniversalClient
	owned        bool // whether Close closes rdb: true for a client that Open has made
	cfg          config
	log          *slog.Logger
	space        space
	links        links
	queues       queueList
	arrived      arrivedIn
	expiry       expiry
	hub          hub
	tried        trials
	sweeper      sweeper
	housekeeping housekeeping
	wrongTypes   wrongTypeLog
	consumers    consumerSet

	documentWaits documentWaits
	unlog         func() // stops forwarding the client library's log lines to log; nil if they are not forwarded

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup // goroutines of this broker
}

var (
	_ broker.Broker    = (*Broker)(nil)
	_ broker.Inspector = (*Broker)(nil)
	_ broker.Parker    = (*Broker)(nil)
	_ broker.Starter   = (*Broker)(nil)
)

// New returns a broker that uses an existing client: a *redis.Client, which may be one
// made by redis.NewFailoverClient for Sentinel, or a *redis.ClusterClient. Close leaves the
// client open. New does not contact the server.
//
// The error wraps [broker.ErrInvalid]: the client is of another type, an option is invalid, or
// an option applies only to [Open].
func New(client redis.UniversalClient, opts ...Option) (*Broker, error) {
	cfg := newConfig(opts)
	if cfg.err != nil {
		return nil, cfg.err
	}
	if cfg.opening != "" {
		return nil, fmt.Errorf("redis: %w: option %s works only with Open; with New, set it in the options of the client",
			broker.ErrInvalid, cfg.opening)
	}
	return newBroker(client, cfg)
}

func newBroker(client redis.UniversalClient, cfg config) (*Broker, error) {
	switch client.(type) {
	case *redis.Client, *redis.ClusterClient:
	default:
		return nil, fmt.Errorf("redis: %w client %T, want *redis.Client or *redis.ClusterClient", broker.ErrInvalid, client)
	}
	if cfg.where == "" {
		cfg.where = whereIs(client)
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Broker{rdb: client, cfg: cfg, log: cfg.logger, space: newSpace(cfg.namespace), ctx: ctx, stop: stop}
	b.queues.init(b)
	b.hub.init(b)
	b.sweeper.init(b)
	b.expiry.init(b)
	return b, nil
}

// whereIs returns the addresses of a client's servers, for errors and logs.
func whereIs(client redis.UniversalClient) string {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().Addr
	case *redis.ClusterClient:
		return strings.Join(c.Options().Addrs, ",")
	}
	return "an unknown address"
}

// Limits implements [broker.Broker].
func (b *Broker) Limits() broker.Limits { return b.cfg.limits }

// Close ends every wait with [broker.ErrClosed], and later calls return this error. Close
// arbiters and stop minions before. The tasks stay on the server. Close closes the
// connections that [Open] has made, and leaves the client of [New] open.
func (b *Broker) Close() error {
	b.stop()
	b.hub.close()
	b.expiry.close()
	b.wg.Wait()
	if b.unlog != nil {
		defer b.unlog()
	}
	b.links.close()
	if b.owned {
		if err := b.rdb.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			return fmt.Errorf("redis: close: %w", err)
		}
	}
	return nil
}

// alive returns an error that wraps broker.ErrClosed if the broker is closed, and
// otherwise ctx.Err().
func (b *Broker) alive(ctx context.Context) error {
	if b.ctx.Err() != nil {
		return b.errClosed()
	}
	return ctx.Err()
}
