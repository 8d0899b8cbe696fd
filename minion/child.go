package minion

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/childtask"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// Child is the entry point of the processes in which isolated handlers run. The minion
// starts its own program again; in that process Child registers the handlers, receives
// attempts from the minion over pipes, runs each handler, and sends back its result or
// error: see internal/engine/childtask. The handler's context there has a submitter that
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

// serveChild runs tasks until the process ends. It returns only if it can't start.
func serveChild(c *isolate.Child, register func(task.Registrar) error, h *childHook) error {
	if h.err != nil {
		return h.err
	}
	s, err := childtask.NewServer(c, h.codecs)
	if err != nil {
		return err
	}
	handlers := make(childHandlers)
	if err := register(handlers); err != nil {
		return err
	}
	s.Serve(handlers)
	return nil
}

// childHandlers are the registered handlers of a child, by the names of their tasks.
type childHandlers map[string]task.Registration

var _ task.Registrar = (childHandlers)(nil)

// Register implements [task.Registrar].
func (c childHandlers) Register(handlers ...task.Registration) error {
	for i, reg := range handlers {
		_, taken := c[reg.Name]
		for _, other := range handlers[:i] {
			taken = taken || other.Name == reg.Name
		}
		if err := checkRegistration(&reg, taken); err != nil {
			return err
		}
	}
	for _, reg := range handlers {
		c[reg.Name] = reg
	}
	return nil
}
