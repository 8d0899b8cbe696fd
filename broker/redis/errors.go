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

// This file turns errors of the client library and of the server into the errors of package
// broker.
//
// A caller has to know whether a failed operation may have been done, and whether trying again
// makes sense. Fault decides that, in this order:
//
//   - The server does not fit its configuration (misfit.go): ErrInvalid.
//   - The server refused, for now (refusals): ErrUnavailable, and nothing was done.
//   - A key has the wrong type, or a script failed: ErrDamaged.
//   - The request was never sent: ErrUnavailable, and nothing was done.
//   - The connection broke or ctx ended: ErrIndeterminate, it may have been done.

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

// refusals are the codes of replies with which a server refuses a command for now. It has done
// nothing, and may do the same command later, perhaps after an operator has acted.
var refusals = []string{
	"OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
	"MISCONF", "NOREPLICAS", "BUSY", "ERR max number of clients",
	"MOVED", "ASK", "UNBLOCKED", "EXECABORT",
}

// fault classifies an error of the client library; the start of this file has the classes.
// what names the operation: a script, or a few words for a plain command. A nil err stands
// for success, which fault remembers: what has worked before is not misconfigured, so a
// later refusal of it is temporary.
func (b *Broker) fault(what string, err error) error {
	if err == nil {
		b.tried.succeeded(what)
		return nil
	}
	if errors.Is(err, redis.ErrClosed) {
		return b.errClosed()
	}
	var reply redis.Error
	if b.ctx.Err() != nil && !errors.As(err, &reply) {
		// Close closes connections in use, for which the client library has several errors.
		return fmt.Errorf("redis %s: %w: %w", what, b.errClosed(), broker.ErrIndeterminate)
	}
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
	switch {
	case isWrongType(err):
		damaged := broker.ErrDamaged
		if writes(what) {
			damaged = errDamagedHalfway
		}
		return fmt.Errorf("redis %s: %w: a key of namespace %s has another type; see who else writes there, and delete or rename it: %w",
			what, damaged, b.cfg.namespace, err)
	case errors.As(err, &reply):
		// This is an error reply that is in no list above.
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

// errDamagedHalfway is ErrDamaged for an operation that may have been done in part: when a
// script fails at one key, its writes to other keys stay.
var errDamagedHalfway = fmt.Errorf("%w, and a part may have been done: %w", broker.ErrDamaged, broker.ErrIndeterminate)

// reading has the scripts that write nothing; and scriptArrivals, which reads its only key before it
// writes there, so that it has done nothing if the key has another type.
var reading = []*script{
	scriptStatus, scriptLocate, scriptCensus, scriptRecord, scriptArrivals, scriptMembers, scriptFlowLookup, scriptFlowQueues,
	scriptHaltRunning, scriptDocumentRead, scriptDocumentChanges,
}

// writes reports whether an operation, by its name as in fault, is a script that writes.
func writes(what string) bool {
	is := func(s *script) bool { return s.name == what }
	return slices.ContainsFunc(scripts, is) && !slices.ContainsFunc(reading, is)
}

// refusedForNow reports whether err is one of refusals.
func refusedForNow(err error) bool {
	return slices.ContainsFunc(refusals, func(code string) bool { return replied(err, code) })
}

// replied reports whether err is, or quotes, an error reply of the server that begins with
// code.
func replied(err error, code string) bool {
	var reply redis.Error
	if errors.As(err, &reply) && strings.HasPrefix(reply.Error(), code) {
		return true
	}
	return redis.HasErrorPrefix(err, code) || strings.Contains(err.Error(), "-"+code+" ")
}

// notSent reports whether the request was never sent, because there was no connection.
func notSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// trials is the set of operations that have succeeded at least once, by their names in fault.
// These are few. Reading it needs no lock.
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
