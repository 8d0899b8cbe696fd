package minion

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// The errors of handlers as the minion sees them, such as panics and timeouts, are in
// internal/engine/failure.

// ErrAbandoned is wrapped by the error of [Minion.Run] when handlers still run after the
// minion has stopped, because they ignored the end of their contexts. The error names
// their tasks, which were given back to their queues.
var ErrAbandoned = errors.New("handlers still run")

// errLost is the error of a session that has lost its lease.
var errLost = errors.New("lease lost")

// errForeignContext is the error that middleware gets if it calls next with a context
// that is not derived from its own.
var errForeignContext = task.NoRetry(fmt.Errorf("%w: middleware called its handler with a context that is not derived from its own", broker.ErrInvalid))

// errLateCall is the error that middleware gets if it calls next after it has returned.
var errLateCall = task.NoRetry(fmt.Errorf("%w: middleware called its handler after it had returned", broker.ErrInvalid))
