// Command bench measures Arbiter beside its peers, all on the same work in one
// call, and prints medians with their extremes, then ratios.
//
//	go run . -n 100000 -runs 3 -peers all -format tsv
//	go run . -short                       # within a minute, coarse
//	go run . -growth                      # how ours grows instead
//	go run . -measures 'drain|pipeline' -peers taskq
//
// The first, with all peers, takes about half an hour: several stop slowly.
//
// # How it measures
//
// It starts a redis-server of its own, without persistence, on a free port;
// arbiter-aof has another one with appendonly everysec. A trial is one measure
// of one system: the server is flushed, the system opened, measured and closed.
// Every system runs once before any runs again, so that a noisy minute hits all
// of them. A trial ends after -limit at the latest: what counts events in a
// time gives the rate until then, and a note row says so. A system that has no
// such thing as what is measured, fails, or does not answer gets a row of
// dashes, and a note with the reason.
//
// The work is the task simple_add with two ints and a result. Nothing is
// switched off on our side: ownership checks, results pushed and retained,
// status by id, repeatable enqueue. A peer that keeps results is measured with
// them; where that is an option of the peer, in both ways.
//
// All systems live in this process, workers and submitters alike, so
// process-cpu is all that a task costs outside of Redis.
//
// # What it prints
//
//	measure  system  median  min  max  unit
//	ratio    measure  peer  ours/peer
//	note     measure  system  text
//
// separated by tabs, or as tables with -format table; what it is about to measure
// goes to stderr. A latency is also compared with ping-p50, the median of a bare
// PING. Figures depend on the
// machine; ratios of one call are what can be compared.
package main
