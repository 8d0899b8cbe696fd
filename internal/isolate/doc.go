// Package isolate runs jobs in child processes: the same program started again,
// which takes one job at a time. It knows bytes only; package minion says what
// they mean.
//
// A parent has a [Pool]; a child is told by its environment that it is one, and
// [Attach] gives it its side. Both talk over two pipes that are no standard
// files, in frames: a head of 13 bytes (kind, job, call, length; big-endian),
// then a body.
//
//	parent → child   setup   what holds for the child's life; first
//	                 run     a job begins
//	                 cancel  its context ends, with a cause
//	                 reply   to a call
//	child → parent   hello   it is ready
//	                 done    the job has ended, with this result
//	                 call    a job asks the parent something
//	                 drop    nobody waits for the reply any more
//	                 big     it is over its memory limit, and ends
//
// A child whose parent is gone ends: its pipe does, and on Linux the kernel
// kills it. All that a child has started itself is in its process group, which
// is killed as a whole.
package isolate
