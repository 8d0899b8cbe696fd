// Package proc runs parts of a test as separate processes, so that these can be killed and stopped.
// A process runs the binary of the test itself. An environment variable tells it which role to
// play:
//
//	func TestMain(m *testing.M) {
//		proc.Main(map[string]proc.Role{"minion": runMinion}) // ends a process that has a role
//		os.Exit(m.Run())
//	}
//
//	p := proc.Start(t, "minion", config)   // runMinion gets config as JSON
//	p.WaitFor(t, "ready")                  // waits until it has printed this
//	p.Kill()                               // SIGKILL
//
// It needs signals, and therefore a Unix system.
package proc
