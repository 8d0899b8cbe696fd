package main

import (
	"context"
	"fmt"
	"time"
)

// growth.go lists the measures of how Arbiter's costs grow with size; growth_*.go implement them.
// The name of a row has the size in brackets, as in drain[pending=1000000].

// extra is the time that a growth trial may take in addition to its measuring time, because filling
// a queue with millions of tasks takes long.
const extra = 5 * time.Minute

func growthMeasures(short bool) []measure {
	sizes := func(small, all []int) []int {
		if short {
			return small
		}
		return all
	}
	var list []measure
	add := func(what, unit, size string, n int, run func(n int) func(context.Context, *trial) ([]float64, error)) {
		name := fmt.Sprintf("%s[%s=%d]", what, size, n)
		list = append(list, measure{name: name, rows: []rowKind{{name, unit}}, run: run(n), extra: extra})
	}
	for _, n := range sizes([]int{1_000, 10_000}, []int{10_000, 1_000_000, 5_000_000}) {
		add("drain", "tasks/s", "pending", n, drainPending)
	}
	for _, n := range payloads {
		add("move", "MB/s", "payload", n, movePayload)
	}
	for _, n := range sizes([]int{1, 100, 1_000}, []int{1, 10, 100, 1_000, 10_000}) {
		add("drain", "tasks/s", "slots", n, drain)
	}
	for _, ms := range sizes([]int{0, 2}, []int{0, 1, 5, 20}) {
		add("drain", "tasks/s", "away-ms", ms, drainAway)
	}
	for _, n := range sizes([]int{1, 10}, []int{1, 100, 1_000}) {
		add("drain", "tasks/s", "queues", n, drainQueues)
		add("idle-commands", "commands/s", "queues", n, idleQueues)
	}
	for _, n := range sizes([]int{1, 10}, []int{1, 10, 100, 1_000}) {
		add("idle-commands", "commands/s/minion", "minions", n, idleMinions)
		add("recovery-cpu", "ms/minion", "minions", n, recoverMinions)
	}
	for _, n := range sizes([]int{10, 1_000}, []int{10, 100, 1_000, 10_000, 100_000}) {
		add("group", "tasks/s", "members", n, groupOf)
	}
	for _, n := range sizes([]int{0, 1, 100}, []int{0, 1, 1_000, 100_000}) {
		add("drain", "tasks/s", "lane-keys", n, drainLanes)
	}
	for _, n := range sizes([]int{0, 1_000}, []int{0, 100_000}) {
		add("wait-p99", "ms", "flood", n, waitFairly)
	}
	for _, n := range sizes([]int{6}, []int{60}) {
		name := fmt.Sprintf("forget[seconds=%d]", n)
		list = append(list, measure{name: name, rows: forgetRows(n), run: forget(n), extra: extra})
	}
	for _, n := range []int{1, masters} {
		add("cluster-pipeline", "tasks/s", "partitions", n, clusterPipeline)
	}
	return list
}

// growthSystems returns Arbiter, and for payloads go-redis with the same bytes.
func growthSystems() []contender {
	all := []contender{{name: "arbiter", ours: true, open: openArbiter}}
	for _, bare := range []struct {
		name string
		move func(size int) func(context.Context, *trial) ([]float64, error)
	}{
		{"redis-list", moveList},   // in batches
		{"redis-keys", moveKeys},   // pipelines on keys like ours
		{"redis-calls", moveCalls}, // one command for each task
	} {
		c := contender{name: bare.name, bare: make(map[string]func(context.Context, *trial) ([]float64, error))}
		for _, n := range payloads {
			c.bare[fmt.Sprintf("move[payload=%d]", n)] = bare.move(n)
		}
		all = append(all, c)
	}
	return all
}
