// Command bench measures Arbiter and its peers with the same work in one run. It prints medians
// with minimum and maximum, then ratios.
//
//	go run . -n 100000 -runs 3 -peers all -format tsv
//	go run . -short                       # within a minute, coarse
//	go run . -growth                      # how costs grow with size, instead of peers
//	go run . -measures 'drain|pipeline' -peers taskq
//
// The first command, with all peers, takes about half an hour, because several peers stop slowly.
//
// # How it measures
//
// bench starts a redis-server without persistence on a free port. The system arbiter-aof has
// another server with appendonly everysec. A trial is one measure of one system: bench flushes the
// server, opens the system, measures, and closes it. Every system runs once before any runs again,
// so a noisy minute affects all of them. The measuring time of a trial ends after -limit. A measure
// of a rate then gives the rate until that time, and a note row says so. A system that fails, does
// not answer, or lacks the measured feature gets a row of dashes, and a note with the reason.
//
// The work is the task simple_add with two ints and a result. Arbiter runs with all its defaults:
// ownership checks, results that are pushed and stored, status by id, and repeatable enqueues. A
// peer that stores results is measured with them. If a peer has an option for that, it is measured
// both with and without results.
//
// Workers and submitters of a system live in this process. So process-cpu is the whole cost of a
// task outside of Redis.
//
// # What it prints
//
//	measure  system  median  min  max  unit
//	ratio    measure  peer  ours/peer
//	note     measure  system  text
//
// Rows are separated by tabs, or are tables with -format table. Progress is printed to stderr. A
// latency is also compared with ping-p50, the median of a bare PING. Figures depend on the machine.
// Only ratios of one run can be compared.
package main
