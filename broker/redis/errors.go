package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// refusals are replies of a server that did not do what was asked, and may do
// so later, or when an operator has seen to it.
var refusals = []string{
	"OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
	"MISCONF", "NOREPLICAS", "BUSY", "NOAUTH", "WRONGPASS", "NOPERM", "ERR max number of clients",
	"MOVED", "ASK", "UNBLOCKED", "EXECABORT",
}

// fault turns an error of the client library into one of the contract:
// refused, so nothing happened; or lost, so nobody knows. What names the
// operation.
func (b *Broker) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, redis.ErrClosed) {
		return broker.ErrClosed
	}
	if errors.Is(err, net.ErrClosed) && b.ctx.Err() != nil {
		return fmt.Errorf("redis %s: %w: %w", what, broker.ErrClosed, broker.ErrIndeterminate)
	} // else the client closed it, as it does to those of a master that was replaced
	for _, r := range refusals {
		if redis.HasErrorPrefix(err, r) || strings.Contains(err.Error(), "-"+r+" ") {
			return fmt.Errorf("redis %s: %w: %w", what, broker.ErrUnavailable, err)
		}
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		// A script that failed half-way is an error nobody has foreseen, such as a
		// key of another type. What it did is not known.
		return fmt.Errorf("redis %s: %w: %w: %w", what, broker.ErrUnavailable, broker.ErrIndeterminate, err)
	}
	if notSent(err) {
		return fmt.Errorf("redis %s: %w: %w", what, broker.ErrUnavailable, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("redis %s: %w: %w", what, broker.ErrIndeterminate, err)
	}
	return fmt.Errorf("redis %s: %w: %w: %w", what, broker.ErrUnavailable, broker.ErrIndeterminate, err)
}

// notSent reports whether the request never left: there was no connection.
func notSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}
