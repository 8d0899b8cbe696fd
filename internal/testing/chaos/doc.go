// Package chaos proves the guarantees under faults, in two ways. In TestChaos, processes submit and
// run tasks. A seeded plan of faults strikes the processes, their connections and the server, and a
// checker judges the history. TestSimulation runs the same load in one process on the broker in
// memory. There a seed decides which requests fail, and the same checker judges the history.
//
// # Ledgers
//
// Every process appends to its own [Ledger]. A submitter writes before and after it sends or kills,
// and when it gets a result. A handler writes when it starts and before it returns. The injector
// writes which fault struck which target, and for how long. When the write returns, the line is in
// the file. So a process that is killed between two actions has recorded the first one. The test
// makes up keys for the tasks. The checker relies on ledgers only, and not on what the system
// reports about itself.
//
// # The checker
//
// [Check] is a function of a history, which is the events of all ledgers. Its rules:
//
//   - A task that was accepted, or has started, is done at the end. Otherwise it is lost.
//   - A key has one task, and an attempt starts once. An attempt may start after another
//     one if that one asked for a retry. Otherwise a fault must explain it. The fault has
//     struck the minion of the earlier attempt, its connections, or the server, while the
//     attempt ran, within a lease of that, or before it can have been settled. If the
//     minion fell silent, the next attempt must not start while its lease can be valid.
//   - All observers of a result see the same one, it is the result of an attempt, and no
//     later attempt has started.
//   - Only an attempt that asked for a retry uses one up.
//   - After a kill has returned, nothing starts.
//   - A task fails only if it was meant to. A canceled task was killed, or belongs to a
//     group or pipe that has failed.
//   - Callbacks and finalizers run once, after the parts that they wait for. The steps of
//     a pipe run in order, each with the result of the previous one. After the kill of a
//     group no part of it starts except its finalizer.
//   - The members of a squad all start at about the same time, or no part of it starts.
//   - A task is given up only if enough minions that had started it have died, or had not
//     come back when it was judged. A task that ends the processes that run it is given up
//     after enough of them. It costs no other task more than one of these deaths.
//   - Data that was sealed for one task never starts as another one.
//   - A server, minion or arbiter ends only by a fault of the plan, or by a task that ends its process.
//   - Tasks that share a limit of one do not run at the same time, unless a fault has struck the
//     minion of the first one, and then not while its lease can be valid. The tasks of a
//     sequence start in the order in which they were sent: one starts when no attempt of those
//     before it follows any more.
//   - Tasks that share a unique key do not run at the same time, with the same exception, unless the
//     key is free when they start. No send is refused because of a task that has ended. A task that
//     was replaced does not start any more.
//   - Each tick of a schedule starts, and not before its time, unless a pause may have left it out. No
//     tick is due while a schedule is paused, or at any other time than its definition says. Runs
//     of a schedule whose runs wait for each other are judged as if they shared a limit of one.
//   - A task expires only after its deadline. It does not start after its deadline. A
//     waiting task expires soon after it, in whatever state it waits.
//   - A task that was sent after its name or its key was paused does not start before it is
//     resumed, unless the server may have lost the pause.
//   - A queue with a bound takes no more tasks than it has room for. None is refused, and none waits
//     for room, while it has room for sure.
//   - The tasks that run in a minion take no more slots than it has, and no more of them
//     have one name than the minion's ceiling for it allows.
//   - Idle minions start new tasks promptly. When all faults are over, every queue is
//     served again within several leases, by each of its minions.
//
// Some faults are no explanation. These cost no lease, so no task may run again because of them: a
// connection that is cut before a command or instead of its reply, a slow connection, lost scripts,
// a full server, and hash slots that move.
//
// All the time, tasks of the test itself are damaged in the store, and records that no program has
// written are added to it (internal/testing/damage). Nothing is promised about these tasks. But they
// explain nothing about the other tasks, which share their queues.
//
// The submitters on one host seal the tasks that they send, and so do all handlers. A spy, which
// can read the broker and has no key, stores some of these tasks again as other tasks.
//
// A failover loses data that had not reached the replica. A power failure loses data that was not
// on disk. If a rule is broken for a task that changed since then, the report counts that
// separately.
//
// A task whose submission ended without an answer is indeterminate. It may have been stored or not.
// If it has started, all rules apply to it.
//
// # The stage of TestChaos
//
// Runs of 12 s or more have more load:
//
//   - a queue whose first minions only take tasks and are killed before they start any; see
//     holderRole
//   - tasks that end the process that runs them, some of them after they were killed
//   - many tasks that wait in one queue
//   - senders that soon give up, in a process that is cut off from the servers
//   - tasks that run for longer than a lease when earlier faults can't have effects any more, and
//     then the death of one minion
//
// Each process has its own proxies in front of all servers. They inject the faults of its
// connections. In the long form, and with -clocks, some processes are built with a clock that is
// hours wrong. A power failure also cuts the end off the file of a server, because a kill alone loses
// nothing.
//
// # The simulation
//
// TestSimulation runs the whole system on the broker in memory. Each seed has its own
// [testing/synctest] bubble, where time passes at once. It runs real arbiters and minions with the
// load described above. Each of them uses the broker through its own wrapper (internal/testing/faulty). The
// wrapper lets a request of any method of the contract fail before or after it is carried out,
// carries it out twice, or delays it. Processes are killed, stopped and ended, and at times all of
// them stand still while the clock goes on. Events go to a [Recorder], and [Check] judges them. The
// faults of requests explain nothing, in the sense above: no task may run again because of them.
// The exception is several failed heartbeats in a row, which may cost a lease.
//
// A seed always decides the same: the load, the faults of processes and their times, and for each
// process whether and how its n-th request of a kind is struck. It does not decide which of several
// goroutines runs first, the random part of a backoff, or the ids. So the n-th settlement may be
// about another task. A seed that fails prints its history. If the failure needs a rare
// interleaving, the seed may have to run several times:
//
//	go test ./internal/testing/chaos -run TestSimulation -v -args -seed 17
//	go test ./internal/testing/chaos -run TestSimulation -count 50 -args -seed 17
//
// A quarter of the seeds have only outages, of one minion after the other, like TestChaos with
// -outages. In half of these the requests hang, and in the others they fail at once.
//
// TestSimulationSeesBreaches uses brokers that break the contract in more than a dozen ways. It
// fails if the checker does not find one of the breaches.
//
// # Running it
//
//	go test ./internal/testing/chaos -run TestSimulation -v -args -seeds 4000
//	go test ./internal/testing/chaos -run TestChaos -v -args -duration 60s -seed 1
//	go test ./internal/testing/chaos -run TestChaos -v -args -duration 60s -fsync everysec
//	go test ./internal/testing/chaos -run TestChaos -v -args -duration 60s -topology sentinel
//	go test ./internal/testing/chaos -run TestChaos -v -args -duration 60s -topology cluster
//	go test ./internal/testing/chaos -run TestChaos -v -args -duration 60s -clocks
//	go test ./internal/testing/chaos -run TestChaos -v -args -duration 60s -outages
//	go test ./internal/testing/chaos -run TestMutants -v -timeout 90m -args -mutants all
//
// The plan of faults depends on the seed alone, but the requests that a fault meets depend on the
// machine. -ledgers names a folder that keeps all ledgers and the logs of minions. TestTopologies
// is a short run on every topology. TestMutants builds the module with known faults, one at a time.
// It fails if the checker does not find one of them, or only by other rules than the fault names.
package chaos
