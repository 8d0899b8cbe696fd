// Package e2e has tests of the whole: minions and arbiters, some of them in
// processes of their own, on real Redis servers that are killed, filled up,
// made read-only, replaced and cut off while tasks are under way. A machine
// without redis-server leaves most of them out and says so; see
// internal/redistest.
//
// Handlers write what they do to a ledger, a file. All tests check by it what
// must hold whatever happens: no attempt of a task starts twice, and nothing
// that was accepted is lost.
package e2e
