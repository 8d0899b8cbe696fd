// Package memory keeps tasks in the memory of one process: for tests, for a
// first try, and for programs that need no more. It keeps every promise of
// package broker but one: all is gone with the process.
//
//	b := memory.New()
//	m := minion.New(b, minion.Queue("default"))
//	arb, err := arbiter.New(b)
//
// It starts no goroutine, waits on channels only and knows no time but that of
// package time. So it runs in a bubble of testing/synctest, and with it arbiters,
// minions and the tasks of a program that is tested: an hour of delays and retries
// passes in a few milliseconds there.
//
//	synctest.Test(t, func(t *testing.T) {
//		b := memory.New()
//		m := minion.New(b)
//		// register tasks, and go m.Run(ctx, 1)
//		defer m.Close() // nothing may be left when the bubble ends
//		…
//	})
//
// TestBubble, in bubble_test.go, is a whole one.
//
// A wait in a bubble for what never comes, as when no minion runs, is seen: the log says
// that no living minion serves the queue, ten times at most, and then the bubble has
// nothing left to do, and testing/synctest ends the test with "deadlock". With a deadline
// the wait ends with a task.WaitError that says the same. While a minion
// runs, its heartbeats let the time of a bubble pass for ever, so give waits a deadline
// where there is one.
package memory
