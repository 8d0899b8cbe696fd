// Package memory is a broker that keeps tasks in the memory of one process. It is for
// tests, for a first try, and for programs that need no other process. It keeps every
// promise of package broker except one: all tasks are lost when the process ends.
//
//	b := memory.New()
//	m, err := minion.New(b, minion.Queue("default"))
//	arb, err := arbiter.New(b)
//
// # Tests in fake time
//
// The broker starts no goroutine, waits on channels only, and takes the time from package
// time only. So it runs in a bubble of testing/synctest, together with the arbiters, the
// minions and the tasks of the program under test. An hour of delays and retries passes
// there in a few milliseconds.
//
//	synctest.Test(t, func(t *testing.T) {
//		b := memory.New()
//		m, err := minion.New(b)
//		// register tasks, and go m.Run(ctx, 1)
//		defer m.Close() // all goroutines must have ended when the bubble ends
//		…
//	})
//
// TestBubble in bubble_test.go is a complete example.
//
// A wait that can't end, for example because no minion runs, does not hang in a bubble. The
// log says that no living minion serves the queue, ten times at most. Then nothing in the
// bubble can go on, and testing/synctest ends the test with "deadlock". With a deadline the
// wait ends with a task.WaitError that says the same. While a minion runs, its heartbeats
// let the time of the bubble pass for ever, so give waits a deadline in that case.
package memory
