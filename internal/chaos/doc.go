// Package chaos proves the guarantees under faults, in two ways. In TestChaos
// processes submit tasks and run them, a seeded plan of faults strikes them, their
// connections and the server, and a checker reads what happened. In TestSimulation
// the same load, in one process, is on the broker in memory, where a seed strikes
// requests at every step, and the same checker reads it.
//
// # Ledgers
//
// Every process appends to a [Ledger] of its own: a submitter before and after it
// sends or kills, and when it gets a result; a handler when it starts and before
// it returns; the injector what it struck and for how long. A line is in the file
// when the write returns, so a process that is killed between two acts has told
// of the first. Tasks are known by keys that the test makes up; nothing that the
// system says of itself is trusted.
//
// # The checker
//
// [Check] is a function of a history: the events of all ledgers. Its rules:
//
//   - What was accepted, or has started, is done at the end; else it is lost.
//   - A key has one task, and an attempt starts once. An attempt starts after
//     another only if that one asked for a retry, or a fault struck its minion,
//     that one's connections, or the server, while it ran, within a lease of
//     that, or before it can have been settled; and not while the lease of a
//     minion that fell silent can still live.
//   - All who see a result see the same, it is what an attempt returned, and no
//     later attempt has started.
//   - Only an attempt that asked for a retry uses one up.
//   - After a kill has returned, nothing starts.
//   - A failure was meant, and a canceled task was killed or belongs to a group
//     or pipe that has failed.
//   - Callbacks and finalizers run once, after what they wait for; the steps of
//     a pipe run in order, each with the result of the one before. After the kill
//     of a group nothing of it starts but its finalizer.
//   - The members of a squad all start, about at once, or nothing of it does.
//   - A task is given up only if enough minions that had started it have died, or had not
//     come back when it was judged. One that ends the processes that run it is given up
//     after so many of them, and costs no other task more than one of these deaths.
//   - What was sealed for one task never starts as another one.
//   - No server ends but by a fault of the plan.
//   - A task expires only after its deadline. It does not start after that, and one that
//     waits ends soon after it, whatever it waits for.
//   - Minions that have nothing to do start promptly what is sent, and when all
//     faults are over every queue is served again within some leases.
//
// Not all faults are causes. A connection that is cut, before a command or in
// place of its reply, or that is slow, scripts that are gone, a server that is
// full, and slots that move must cost no lease, and so nothing may run again
// after them.
//
// Tasks of the test's own are damaged in the store all the while, and records that nobody
// has written are added to it (internal/damage). Nothing is promised of these tasks; that
// explains nothing of the others, which share their queues.
//
// The submitters in one place seal what they send, and so do all handlers. Somebody who
// reads the broker and has no key stores some of these tasks again as others.
//
// A failover loses what had not reached the replica, and a power failure what was
// not on disk. What breaks a rule then, of tasks that something happened to since,
// is counted apart.
//
// A task whose submission ended without a word is indeterminate. It may have
// been stored or not; if it has started, all rules hold for it.
//
// # The stage of TestChaos
//
// Each process has proxies of its own in front of all servers, which strike its
// connections. Some processes are built with a clock that is hours wrong. A
// power failure cuts the end off a server's file, since a kill alone does not.
//
// # The simulation
//
// TestSimulation runs the whole system on the broker in memory, each seed in a
// [testing/synctest] bubble where seconds pass in no time: real arbiters and
// minions, with the load of the processes above. Each of them has the broker
// through a wrapper of its own (internal/faulty), by which a request of any method
// of the contract fails before or after it is carried out, is executed twice, or is
// late; processes are killed, stopped and ended, and all of them stand still while
// the clock runs. Events go to a [Recorder], and [Check] judges them. The faults of
// requests are harmless in the sense above: nothing may run again because of them;
// but for heartbeats that fail in a row, which may cost a lease.
//
// What a seed decides is the same every time: the load, the faults of processes and
// when they come, and for each process whether its n-th request of a kind is struck
// and how. What it does not decide is which of several goroutines runs first, the
// random part of back-offs and the ids; so which task the n-th settlement is about
// can differ. A seed that fails tells its history in words; a rare interleaving may
// need it to be tried some times:
//
//	go test ./internal/chaos -run TestSimulation -v -args -seed 17
//	go test ./internal/chaos -run TestSimulation -count 50 -args -seed 17
//
// A quarter of the seeds have nothing but outages of one minion after the other, as
// TestChaos has with -outages.
//
// TestSimulationSeesBreaches puts a broker under it that breaks the contract, in a
// dozen ways, and fails if the checker misses one.
//
// # Running it
//
//	go test ./internal/chaos -run TestSimulation -v -args -seeds 4000
//	go test ./internal/chaos -run TestChaos -v -args -duration 60s -seed 1
//	go test ./internal/chaos -run TestChaos -v -args -duration 60s -fsync everysec
//	go test ./internal/chaos -run TestChaos -v -args -duration 60s -topology sentinel
//	go test ./internal/chaos -run TestChaos -v -args -duration 60s -topology cluster
//	go test ./internal/chaos -run TestChaos -v -args -duration 60s -outages
//	go test ./internal/chaos -run TestMutants -v -timeout 60m -args -mutants all
//
// The plan of faults depends on the seed alone; what a fault meets depends on the
// machine. -ledgers names a folder that keeps what all wrote down, and what
// minions logged. TestTopologies is a short run on every topology. TestMutants
// puts known faults into a copy of the module, one at a time, and fails if the
// checker misses one.
package chaos
