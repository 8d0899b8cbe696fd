package memory

import (
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// DefaultLease is the lease of minions unless [Lease] sets another one.
const DefaultLease = 12 * time.Second

// Option is an option of [New].
type Option interface {
	apply(*config)
}

type config struct {
	lease  time.Duration
	limits broker.Limits
	err    error // the first error of an option
}

// fail notes the error of an option, unless an earlier one has failed.
func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

// Lease sets how long a minion keeps its tasks after its last heartbeat, which is more than
// 0. Minions send a heartbeat every third of that. The default is [DefaultLease].
func Lease(d time.Duration) Option {
	return option(func(c *config) {
		if d <= 0 {
			c.fail(fmt.Errorf("memory: %w: Lease(%v), want more than 0", broker.ErrInvalid, d))
			return
		}
		c.lease = d
	})
}

// Limits sets the largest sizes that the broker accepts, in bytes: of the arguments, the
// result and the metadata of a task. A field that is 0 keeps its default:
// [broker.DefaultMaxPayload] and [broker.DefaultMaxResult], 1 MiB each, and
// [broker.DefaultMaxMeta], 4 KiB. A negative field is an error.
func Limits(l broker.Limits) Option {
	return option(func(c *config) {
		if l.Payload < 0 || l.Result < 0 || l.Meta < 0 {
			c.fail(fmt.Errorf("memory: %w: Limits(%+v), want 0 or more of each", broker.ErrInvalid, l))
			return
		}
		c.limits = l.WithDefaults()
	})
}
