// Package proc runs parts of a test as processes of their own, so that they can
// be killed and stopped as processes are. A process is the test's own binary,
// told by its environment which role to play:
//
//	func TestMain(m *testing.M) {
//		proc.Main(map[string]proc.Role{"minion": runMinion}) // ends a process that has a role
//		os.Exit(m.Run())
//	}
//
//	p := proc.Start(t, "minion", config)   // JSON on its way to runMinion
//	p.WaitFor(t, "ready")                  // a line that it prints
//	p.Kill()                               // SIGKILL
//
// It needs signals, and so a Unix.
package proc
