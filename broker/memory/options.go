package memory

import (
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
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

// Lease sets how long a minion keeps its tasks after its last heartbeat. Minions send a
// heartbeat every third of that. The default is [DefaultLease], also if d is not positive.
func Lease(d time.Duration) Option {
	return option(func(c *config) {
		if d <= 0 {
			d = DefaultLease
		}
		c.lease = d
	})
}

// Limits sets the largest sizes that the broker accepts, in bytes: of the arguments, the
// result and the metadata of a task. The defaults, which also replace values that are not
// positive, are [broker.DefaultMaxPayload] and [broker.DefaultMaxResult], 1 MiB each, and
// [broker.DefaultMaxMeta], 4 KiB.
func Limits(l broker.Limits) Option {
	return option(func(c *config) {
		c.limits = broker.Limits{
			Payload: max(l.Payload, 0),
			Result:  max(l.Result, 0),
			Meta:    max(l.Meta, 0),
		}.WithDefaults()
	})
}
