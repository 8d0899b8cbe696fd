package main

import "context"

// work is the body of simple_add. All systems call it from their handlers.
type work func(x, y int) int

// system is a task queue under test.
type system interface {
	// Enqueue submits a task and returns when it is stored.
	Enqueue(ctx context.Context, x, y int) error
	// Work executes tasks in that many slots until stop is called.
	Work(ctx context.Context, slots int, do work) (stop func(), err error)
	Close()
}

// bulker is a system that stores many tasks in one call.
type bulker interface {
	EnqueueAll(ctx context.Context, n int) error
}

// resulter is a system whose submitters can get results.
type resulter interface {
	// Start submits n tasks. n is 1 for a system that is not a bulker.
	Start(ctx context.Context, n int) (results, error)
}

// results are the results of the tasks of a Start.
type results interface {
	// Await returns when all results are there. It returns an error if one is wrong.
	Await(ctx context.Context) error
}

// contender is a system, or a bare limit, in the comparison.
type contender struct {
	name   string
	ours   bool
	peer   bool // can be excluded by -peers
	floor  bool // all percentiles are compared with its p50
	server kind
	open   func(ctx context.Context, srv *server) (system, error)
	// only names the measures that the system takes part in. Nil means all that need Redis.
	only []string
	// bare has the measures of a bare limit, which has no open function.
	bare map[string]func(context.Context, *trial) ([]float64, error)
}

// contenders returns all systems, Arbiter first.
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
