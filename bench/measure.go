package main

import (
	"context"
	"time"
)

// measure is a kind of trial. It gives one or more rows.
type measure struct {
	name string
	rows []rowKind
	run  func(ctx context.Context, t *trial) ([]float64, error)
	// memory reports that the measure needs no server.
	memory bool
	extra  time.Duration // time that a trial may take in addition to measuring
}

// rowKind is a row of the output.
type rowKind struct {
	name, unit string
}

func rate(name string, run func(context.Context, *trial) ([]float64, error)) measure {
	return measure{name: name, rows: []rowKind{{name, "tasks/s"}}, run: run}
}

func latency(name string, run func(context.Context, *trial) ([]float64, error)) measure {
	return measure{name: name, rows: []rowKind{{name + "-p50", "ms"}, {name + "-p99", "ms"}}, run: run}
}

// measures returns all measures in the order of the output.
func measures() []measure {
	list := []measure{
		rate("enqueue-1", enqueueOne),
		rate("enqueue-100", enqueueMany),
		rate("enqueue-bulk", enqueueBulk),
		rate("drain-10", drain(10)),
		rate("drain-100", drain(100)),
		rate("drain-500", drain(500)),
		{name: "pipeline", run: pipeline, rows: []rowKind{
			{"pipeline", "tasks/s"}, {"redis-cpu", "s/100k"}, {"process-cpu", "s/100k"},
		}},
		latency("pickup", pickup),
		latency("roundtrip", roundtrip),
		{name: "bytes-pending", run: bytesPending, rows: []rowKind{{"bytes-pending", "B/task"}}},
		{name: "idle-commands", run: idleCommands, rows: []rowKind{{"idle-commands", "commands/s"}}},
	}
	mem := latency("mem-roundtrip", roundtrip)
	mem.memory = true
	return append(list, measure{name: "mem-pipeline", memory: true, run: memPipeline, rows: []rowKind{
		{"mem-pipeline", "tasks/s"}, {"mem-cpu", "s/100k"},
	}}, mem)
}
