package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// Each says what is closed.
var errInboxClosed = fmt.Errorf("the inbox is %w", broker.ErrClosed)

func (b *Broker) errClosed() error {
	return fmt.Errorf("the redis broker at %s is %w", b.cfg.where, broker.ErrClosed)
}

func (c *consumer) errClosed() error {
	return fmt.Errorf("the consumer of minion %s is %w", c.id, broker.ErrClosed)
}

func (t *topic) errClosed() error {
	return fmt.Errorf("the subscription to topic %s is %w", t.name, broker.ErrClosed)
}

// refusals are replies of a server that did not do what was asked, and may do
// so later, or when an operator has seen to it.
var refusals = []string{
	"OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
	"MISCONF", "NOREPLICAS", "BUSY", "ERR max number of clients",
	"MOVED", "ASK", "UNBLOCKED", "EXECABORT",
}

// fault turns an error of the client library into one of the contract: the server
// can't be used as it is configured; refused, so nothing happened; or lost, so nobody
// knows. What names the operation. It is told of success with a nil error.
func (b *Broker) fault(what string, err error) error {
	if err == nil {
		b.tried.succeeded(what)
		return nil
	}
	if errors.Is(err, redis.ErrClosed) {
		return b.errClosed()
	}
	if errors.Is(err, net.ErrClosed) && b.ctx.Err() != nil {
		return fmt.Errorf("redis %s: %w: %w", what, b.errClosed(), broker.ErrIndeterminate)
	} // else the client closed it, as it does to those of a master that was replaced
	if m := b.misfit(err); m != nil {
		switch {
		case !m.had(&b.tried, what) && m.inside:
			return fmt.Errorf("redis %s: %w: %w: %s %s: %w", what, broker.ErrInvalid, broker.ErrIndeterminate, b.cfg.where, m.says, err)
		case !m.had(&b.tried, what):
			return fmt.Errorf("redis %s: %w: %s %s: %w", what, broker.ErrInvalid, b.cfg.where, m.says, err)
		case m.refused:
			return fmt.Errorf("redis %s: %w: %s %s: %w", what, broker.ErrUnavailable, b.cfg.where, m.says, err)
		}
	}
	for _, r := range refusals {
		if replied(err, r) {
			return fmt.Errorf("redis %s: %w: %w", what, broker.ErrUnavailable, err)
		}
	}
	var reply redis.Error
	switch {
	case isSpoiled(err):
		damaged := broker.ErrDamaged
		if writes(what) {
			damaged = errDamagedHalfway
		}
		return fmt.Errorf("redis %s: %w: a key of namespace %s has another type; see who else writes there, and delete or rename it: %w",
			what, damaged, b.cfg.namespace, err)
	case errors.As(err, &reply):
		// Nobody has foreseen it.
		return fmt.Errorf("redis %s: %w: %w", what, errDamagedHalfway, err)
	}
	if notSent(err) {
		return fmt.Errorf("redis %s: %w: %w", what, broker.ErrUnavailable, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("redis %s: %w: %w", what, broker.ErrIndeterminate, err)
	}
	return fmt.Errorf("redis %s: %w: %w: %w", what, broker.ErrUnavailable, broker.ErrIndeterminate, err)
}

// errDamagedHalfway is ErrDamaged where the server may have done a part: a script that fails
// at one key keeps what it has written to others.
var errDamagedHalfway = fmt.Errorf("%w, and a part may have been done: %w", broker.ErrDamaged, broker.ErrIndeterminate)

// reading are the scripts that write nothing.
var reading = []*script{scriptStatus, scriptLocate, scriptCensus, scriptRecord, scriptArrivals, scriptMembers, scriptFlowLookup}

// writes reports whether an operation, named as in fault, is a script that writes.
func writes(what string) bool {
	is := func(s *script) bool { return s.name == what }
	return slices.ContainsFunc(scripts, is) && !slices.ContainsFunc(reading, is)
}

// refusedForNow reports whether err is the reply of a server that may do later what it
// has refused.
func refusedForNow(err error) bool {
	return slices.ContainsFunc(refusals, func(code string) bool { return replied(err, code) })
}

// replied reports whether err is a server's error reply that begins with a code.
func replied(err error, code string) bool {
	var reply redis.Error
	if errors.As(err, &reply) && strings.HasPrefix(reply.Error(), code) {
		return true
	}
	return redis.HasErrorPrefix(err, code) || strings.Contains(err.Error(), "-"+code+" ")
}

// notSent reports whether the request never left: there was no connection.
func notSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// trials notes which operations have succeeded. It grows to the number of names that
// fault is told of success with, which are few and fixed.
type trials struct {
	mu   sync.Mutex
	done atomic.Pointer[map[string]struct{}]
}

func (t *trials) succeeded(what string) {
	if t.has(what) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	more := map[string]struct{}{what: {}}
	if was := t.done.Load(); was != nil {
		maps.Copy(more, *was)
	}
	t.done.Store(&more)
}

func (t *trials) has(what string) bool {
	done := t.done.Load()
	if done == nil {
		return false
	}
	_, ok := (*done)[what]
	return ok
}

// any reports whether any operation has succeeded.
func (t *trials) any() bool { return t.done.Load() != nil }
