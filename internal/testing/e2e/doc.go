// Package e2e tests the whole system: minions and arbiters, some of them in processes of their own,
// on real Redis servers. The servers are killed, filled up, made read-only, replaced and cut off
// while tasks run. Most of these tests need redis-server. On a machine without it they log that
// they do not run; see internal/testing/redistest.
//
// Handlers append what they do to a file, the ledger. From the ledger each test checks what must
// hold in every case: no attempt of a task starts twice, and no accepted task is lost.
package e2e
