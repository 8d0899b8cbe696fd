package memory

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// DefaultLease is how long a consumer stays an owner after a heartbeat unless
// [Lease] says otherwise.
const DefaultLease = 12 * time.Second

// Option changes what [New] makes.
type Option interface {
	apply(*config)
}

type config struct {
	lease  time.Duration
	limits broker.Limits
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

// Lease sets how long a consumer stays an owner after a heartbeat; it is asked
// for one every third of that. Default [DefaultLease], also if d is not
// positive.
func Lease(d time.Duration) Option {
	return option(func(c *config) {
		if d <= 0 {
			d = DefaultLease
		}
		c.lease = d
	})
}

// Limits sets the sizes that the broker accepts. Default, for each that is not
// positive: [broker.DefaultMaxPayload], [broker.DefaultMaxResult] and
// [broker.DefaultMaxMeta].
func Limits(l broker.Limits) Option {
	return option(func(c *config) {
		c.limits = broker.Limits{
			Payload: max(l.Payload, 0),
			Result:  max(l.Result, 0),
			Meta:    max(l.Meta, 0),
		}.WithDefaults()
	})
}
