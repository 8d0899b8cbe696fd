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

// Broker keeps tasks in Redis. Make one with [Open] or [New].
type Broker struct {
	rdb       redis.UniversalClient
	owned     bool // Close closes rdb
	cfg       config
	log       *slog.Logger
	space     space
	queues    directory
	arrived   arrivedIn
	expiry    expiry
	hub       hub
	tried     trials
	forgotten forgetting
	keeper    keeper
	told      telling
	crew      crew
	unlog     func() // ends that the client library logs to log; nil if it does not

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

// New returns a broker on a client that exists already: a *redis.Client, also
// of Sentinel, or a *redis.ClusterClient. Close leaves the client open. New
// does not talk to the server. The error wraps [broker.ErrInvalid].
func New(client redis.UniversalClient, opts ...Option) (*Broker, error) {
	cfg := newConfig(opts)
	if cfg.err != nil {
		return nil, cfg.err
	}
	if cfg.opening != "" {
		return nil, fmt.Errorf("redis: %w: %s is for Open: the client of New has connections of its own; set it in the client's options",
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
	b.forgotten.init(b)
	b.expiry.init(b)
	return b, nil
}

// whereIs returns the address of a client's servers.
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

// Close implements [broker.Broker].
func (b *Broker) Close() error {
	b.stop()
	b.hub.close()
	b.expiry.close()
	b.wg.Wait()
	if b.unlog != nil {
		defer b.unlog()
	}
	if b.owned {
		if err := b.rdb.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			return fmt.Errorf("redis: close: %w", err)
		}
	}
	return nil
}

// alive returns an error that wraps ErrClosed after Close, and ctx's error after its end.
func (b *Broker) alive(ctx context.Context) error {
	if b.ctx.Err() != nil {
		return b.errClosed()
	}
	return ctx.Err()
}
