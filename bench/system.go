package main

import "context"

// work is the body of simple_add; all systems call it from their handlers.
type work func(x, y int) int

// system is a task queue under test.
type system interface {
	// Enqueue submits a task and returns when it is stored.
	Enqueue(ctx context.Context, x, y int) error
	// Work executes tasks, so many at once, until stop is called.
	Work(ctx context.Context, slots int, do work) (stop func(), err error)
	Close()
}

// bulker is a system that stores many tasks in one call.
type bulker interface {
	EnqueueAll(ctx context.Context, n int) error
}

// resulter is a system whose submitters can have results.
type resulter interface {
	// Start submits n tasks; a system that is no bulker is asked for one.
	Start(ctx context.Context, n int) (results, error)
}

// results are those of tasks that were started.
type results interface {
	// Await returns when all are there, and are what they should be.
	Await(ctx context.Context) error
}

// contender is a system, or a bare limit, in the comparison.
type contender struct {
	name   string
	ours   bool
	peer   bool // can be left out by -peers
	floor  bool // its p50 is what all percentiles are compared with
	server kind
	open   func(ctx context.Context, srv *server) (system, error)
	// only names the measures it takes part in; nil is all that need Redis.
	only []string
	// bare has the measures of a bare limit; it has no open.
	bare map[string]func(context.Context, *trial) ([]float64, error)
}

// contenders returns all there are, ours first.
func contenders() []contender {
	return []contender{
		{name: "arbiter", ours: true, open: openArbiter},
		{name: "arbiter-aof", ours: true, server: everysec, open: openArbiter},
		{name: "arbiter-memory", ours: true, server: none, open: openMemory, only: []string{"mem-pipeline", "mem-roundtrip"}},
		{name: "asynq", peer: true, open: openAsynq(false, 0)},
		{name: "asynq-results", peer: true, open: openAsynq(true, 0), only: []string{"drain-10", "drain-100", "drain-500", "bytes-pending"}},
		{name: "asynq-eager", peer: true, open: openAsynq(true, asynqEager), only: []string{"pipeline", "pickup", "roundtrip", "idle-commands"}},
		{name: "taskq", peer: true, open: openTaskq},
		{name: "gocraft", peer: true, open: openGocraft},
		{name: "machinery", peer: true, open: openMachinery},
		{name: "ping", floor: true, bare: barePing},
		{name: "redis-list", bare: bareList},
		{name: "channel-pool", server: none, bare: bareChannel},
	}
}
