package redis

import (
	"context"
	"time"
)

// These options, constants and methods let tests outside the package change what users can't.

// LargeRecordFrom sets the payload size in bytes from which a record is stored as a large record.
func LargeRecordFrom(n int) Option { return optionFunc(func(c *config) { c.largeRecordFrom = n }) }

// Reads makes a broker that reads messages up to the given version only, like an earlier build.
func Reads(version uint8) Option { return optionFunc(func(c *config) { c.reads = version }) }

// RoundsEvery sets how often a page of the namespace's queues is visited.
func RoundsEvery(d time.Duration) Option { return optionFunc(func(c *config) { c.rounds = d }) }

// AbandonedAfter sets how long a parked task of a queue without a minion stays after its parking
// time.
func AbandonedAfter(d time.Duration) Option {
	return optionFunc(func(c *config) { c.abandoned = d })
}

// RememberFor sets how long at least the id of a final task is remembered.
func RememberFor(d time.Duration) Option { return optionFunc(func(c *config) { c.atLeast = d }) }

// SweepStep sets how many tasks one step of the sweeper removes.
func SweepStep(n int) Option { return optionFunc(func(c *config) { c.sweepStep = n }) }

// NoHousekeeping disables the background goroutine, so that only the test sweeps and takes turns.
func NoHousekeeping() Option { return optionFunc(func(c *config) { c.noHousekeeping = true }) }

// Unused sets how long a partition notes that its queue is registered, and how long a queue must
// have been unregistered before it is removed from the registry.
func Unused(registered, unused time.Duration) Option {
	return optionFunc(func(c *config) { c.registered, c.unused = registered, unused })
}

// The defaults of the option Unused.
const (
	RegisteredFor = registeredFor
	UnusedFor     = unusedFor
)

// Round asks for a turn, as the background goroutine does, and then sweeps all that is due. It
// returns after which time to ask again.
func (b *Broker) Round(ctx context.Context) (again time.Duration, err error) {
	again, err = b.round(ctx)
	b.sweep(ctx, time.Now().Add(time.Minute))
	return again, err
}

// Links returns how many links the broker has, and how many of them serve no request.
func (b *Broker) Links() (all, free int) {
	b.links.mu.Lock()
	defer b.links.mu.Unlock()
	return len(b.links.all), len(b.links.free)
}

// MaxLinks is how many links a broker has at most.
const MaxLinks = maxLinks
