package minion

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Child is the entry point of the processes in which isolated handlers run. The minion
// starts its own program again; in that process Child registers the handlers, receives
// attempts from the minion over pipes (see isolated_wire.go), runs each handler, and
// sends back its result or error. The handler's context there has a submitter that
// sends through the minion: a child has no connection to the broker.

// hook has the arguments of the first call of Child. It is nil before that call.
var hook atomic.Pointer[childHook]

// childHook is the configuration with which children of this program start.
type childHook struct {
	codecs []codec.Codec
	err    error // why no child can start
}

// newHook checks the arguments of Child.
func newHook(register func(task.Registrar) error, opts []Option) *childHook {
	cfg := configure(opts)
	h := &childHook{codecs: cfg.allCodecs(), err: cfg.err}
	if h.err == nil && register == nil {
		h.err = fmt.Errorf("%w: register is nil", broker.ErrInvalid)
	}
	if h.err != nil {
		h.err = fmt.Errorf("minion.Child: %w", h.err)
	}
	return h
}

// check returns an error for a minion whose isolated tasks could not run in children. A
// child must accept every codec that the minion accepts. Without this check each task
// would fail and be retried for a mistake in the configuration.
func (h *childHook) check(cfg *config) error {
	if h.err != nil {
		return h.err
	}
	own := cfg.allCodecs()
	for _, c := range append(own, codec.Msgpack(), codec.JSON()) {
		name := c.Name()
		if _, err := codec.ByName(name, own...); err != nil {
			continue // a built-in codec that the minion does not accept either
		}
		if _, err := codec.ByName(name, h.codecs...); err != nil {
			return fmt.Errorf("%w: tasks are isolated, and minion.Child does not accept the codec %q, which the minion does: "+
				"give Child the same options Codec and Codecs as minion.New", broker.ErrInvalid, name)
		}
	}
	return nil
}

// Child runs isolated tasks in processes of their own; see [Isolated]. It also runs other
// tasks that may have killed a minion, one attempt per process; see [MaxRecoveries].
// Such a task runs in the minion if the child does not register it. A program that has
// isolated tasks calls Child first in its main function, or in TestMain:
//
//	func main() {
//		minion.Child(tasks.RegisterTasks)
//		…                                        // flags, brokers, servers, minions
//	}
//
// In a process that a minion has started for isolated tasks, Child registers the
// handlers, runs the tasks that the minion sends, and never returns. The statements
// after it run only in the parent. In every other process Child returns at once and
// does not call register. Statements before Child, and init functions, run in both.
//
// The child has the program, arguments, environment and working directory of the
// minion's process, but not its memory. register makes the connections and other values
// that the handlers need; flags are not parsed at that point. Child takes the options of
// [New], but only [Codec] and [Codecs] have an effect: give it the same ones as New.
// [Minion.Run] of a minion with isolated tasks returns an error if the minion accepts a
// codec that Child does not, and the error names the codec. Only the first call of Child
// in a process has an effect. SIGINT and SIGTERM do not end a child: the minion ends it.
func Child(register func(task.Registrar) error, opts ...Option) {
	h := newHook(register, opts)
	hook.CompareAndSwap(nil, h)
	c, err := isolate.Attach()
	if c == nil && err == nil {
		return
	}
	if err == nil {
		err = serveChild(c, register, h)
	}
	fmt.Fprintln(os.Stderr, "isolated task: the process can't run any:", err)
	os.Exit(1)
}

// childServer runs the attempts of a child process.
type childServer struct {
	handlers map[string]task.Registration
	codec    codec.Codec // encodes the calls that handlers send
	codecs   []codec.Codec
}

var _ task.Registrar = (*childServer)(nil)

// serveChild runs tasks until the process ends. It returns only if it can't start.
func serveChild(c *isolate.Child, register func(task.Registrar) error, h *childHook) error {
	if h.err != nil {
		return h.err
	}
	o := &childServer{handlers: make(map[string]task.Registration), codecs: h.codecs}
	var err error
	if o.codec, err = codec.ByName(string(c.Setup), o.codecs...); err != nil {
		return fmt.Errorf("the minion's codec is not among those of minion.Child: %w", err)
	}
	if err := register(o); err != nil {
		return err
	}
	c.Serve(o.run, causeOf)
	return nil
}

// Register implements [task.Registrar].
func (o *childServer) Register(handlers ...task.Registration) error {
	for i, reg := range handlers {
		_, taken := o.handlers[reg.Name]
		for _, other := range handlers[:i] {
			taken = taken || other.Name == reg.Name
		}
		if err := checkRegistration(&reg, taken); err != nil {
			return err
		}
	}
	for _, reg := range handlers {
		o.handlers[reg.Name] = reg
	}
	return nil
}

// run runs one attempt and returns the encoded wireDone.
func (o *childServer) run(ctx context.Context, w *isolate.Work) []byte {
	var job wireJob
	if err := unpack(w.Body, &job); err != nil {
		return pack(&wireDone{Err: packError(err)})
	}
	if job.Left > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, job.Left, causeOf([]byte(job.LeftCause)))
		defer cancel()
	}
	sends := &proxy{
		o: o, w: w,
		child: client.Child{Parent: job.ID, Attempt: job.Attempt},
	}
	ctx = task.NewContext(ctx, &task.Info{
		ID: job.ID, Name: job.Name, Queue: job.Queue,
		Attempt: job.Attempt, Retried: job.Retried, MaxRetries: job.MaxRetries, Recoveries: job.Recoveries,
		Meta: job.Meta, Enqueued: job.Enqueued,
		Submitter: sends, OnSuccess: (*onSuccessProxy)(sends),
	})
	out, unfit, err := o.handle(ctx, &job)
	return pack(&wireDone{Result: out, Err: safeError(err), Unfit: unfit})
}

// handle calls the handler and turns its panics into errors. unfit reports that the child
// can't run the task.
func (o *childServer) handle(ctx context.Context, job *wireJob) (out []byte, unfit bool, err error) {
	reg, ok := o.handlers[job.Name]
	if !ok {
		return nil, true, task.NoRetry(fmt.Errorf("%w %q in the child: minion.Child does not register it", task.ErrUnknownTask, job.Name))
	}
	enc, err := codec.ByName(job.Codec, o.codecs...)
	if err != nil {
		return nil, true, task.NoRetry(fmt.Errorf("in the child: %w", err))
	}
	done := make(chan struct{})
	go func() { // a runtime.Goexit ends only this goroutine
		defer close(done)
		returned := false
		defer func() {
			if !returned {
				err = newPanic(recover())
			}
		}()
		out, err = reg.Handler(ctx, seal.Plain(enc), job.Payload, nil) // the minion opens and seals; the child sees plain bytes
		returned = true
	}()
	<-done
	if err != nil {
		return nil, false, err
	}
	if len(out) > job.Limit {
		return nil, false, fmt.Errorf("%w: %w: %d bytes, the limit is %d", task.ErrBadResult, broker.ErrTooLarge, len(out), job.Limit)
	}
	return out, false, nil
}

// safeError is packError for an error of the user's code, whose methods may panic.
func safeError(err error) (w *wireError) {
	defer func() {
		if p := recover(); p != nil {
			w = packError(newMethodPanic(p, err))
		}
	}()
	return packError(err)
}
