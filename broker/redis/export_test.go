package redis

import (
	"context"
	"time"
)

// ApartFrom keeps the records of tasks apart whose payloads have so many bytes.
func ApartFrom(n int) Option { return optionFunc(func(c *config) { c.apartFrom = n }) }

// Reads makes a broker that reads messages up to a version, like one of an earlier build.
func Reads(version uint8) Option { return optionFunc(func(c *config) { c.reads = version }) }

// RoundsEvery is how often somebody looks after the queues of the namespace.
func RoundsEvery(d time.Duration) Option { return optionFunc(func(c *config) { c.rounds = d }) }

// AbandonedAfter is how long a parked task waits beyond its time in a queue without a
// minion.
func AbandonedAfter(d time.Duration) Option {
	return optionFunc(func(c *config) { c.abandoned = d })
}

// RememberFor is how long the id of an ended task is remembered at least.
func RememberFor(d time.Duration) Option { return optionFunc(func(c *config) { c.atLeast = d }) }

// SweepStep is how many tasks a step of the sweeper forgets.
func SweepStep(n int) Option { return optionFunc(func(c *config) { c.sweepStep = n }) }

// NoKeeper lets nobody sweep or take turns but the test.
func NoKeeper() Option { return optionFunc(func(c *config) { c.noKeeper = true }) }

// Unused is how long a partition notes that its queue is registered, and how long a
// queue is not registered before it can be forgotten.
func Unused(registered, unused time.Duration) Option {
	return optionFunc(func(c *config) { c.registered, c.unused = registered, unused })
}

// The times of a broker that was given no others.
const (
	RegisteredFor = registeredFor
	UnusedFor     = unusedFor
)

// Round asks for a turn as the broker does by itself from time to time, and then sweeps
// all that is due. It reports in how many ms to ask again.
func (b *Broker) Round(ctx context.Context) (again time.Duration, err error) {
	again, err = b.round(ctx)
	b.sweep(ctx, time.Now().Add(time.Minute))
	return again, err
}
