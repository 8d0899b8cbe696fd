// Package isolate runs jobs in child processes. A child is the same program started again, and runs one job at a time. The
// package passes bytes; package childtask encodes the jobs and results.
//
// The parent has a [Pool]. A child learns from its environment that it is one, and [Attach] returns its connection to the
// parent. They use two pipes beside the standard files, with frames: a head of 13 bytes (kind, job, call, length; big-endian)
// and a body.
//
//	parent → child   setup   the settings for the child's life; the first frame
//	                 run     start a job
//	                 cancel  end the context of the job, with a cause
//	                 reply   the answer to a call
//	child → parent   hello   the child is ready
//	                 done    the job has ended; the body is the result
//	                 call    the job asks the parent
//	                 drop    the job does not wait for the reply any more
//	                 big     the child is over its memory limit, and ends
//
// A child whose parent has died ends, since its pipe is closed; on Linux the kernel also kills it. On Unix, a child and all
// processes that it has started are one process group, which is killed as a whole.
package isolate
