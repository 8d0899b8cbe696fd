package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
)

// The log of a minion has two parts. logger adds the attributes of a task to each line
// about it, and hides errors if a codec encrypts. outage logs the loss of the broker once
// and its return once, although many requests notice both.

// logger adds the attributes of a task to the lines about it.
type logger struct {
	l        *slog.Logger
	discreet bool // errors, and the output of children, are not logged: see codec.Logs
}

func (l logger) debug(msg string, args ...any) { l.l.Debug(msg, args...) }
func (l logger) info(msg string, args ...any)  { l.l.Info(msg, args...) }
func (l logger) warn(msg string, args ...any)  { l.l.Warn(msg, args...) }

func (l logger) enabled(level slog.Level) bool {
	return l.l.Enabled(context.Background(), level)
}

func (l logger) task(level slog.Level, msg string, d *broker.Delivery, args ...any) {
	if !l.enabled(level) {
		return
	}
	l.l.Log(context.Background(), level, msg, append([]any{
		"task.id", d.ID.String(), "task.name", d.Name, "queue", d.Queue, "attempt", d.Start,
	}, args...)...)
}

// failed logs an error of a task. A panic or a crash is logged as a warning at least,
// because it is a fault in the program, however the task ends. The stack is logged too,
// unless the error contains all of it, as with a crash whose output is one line.
func (l logger) failed(level slog.Level, msg string, d *broker.Delivery, err error, args ...any) {
	stack := failure.StackOf(err)
	if stack != "" {
		level = max(level, slog.LevelWarn)
	}
	if l.discreet {
		l.task(level, msg, d, append(args, "error", "hidden, a "+typeOf(err))...)
		return
	}
	args = append(args, "error", err)
	if stack != "" {
		if !strings.Contains(fmt.Sprint(err), strings.TrimSpace(stack)) { // Sprint survives an Error method that panics
			args = append(args, "stack", stack)
		}
	}
	l.task(level, msg, d, args...)
}

// typeOf returns the type of a handler's error, or of the value it panicked with.
func typeOf(err error) (name string) {
	defer func() {
		if recover() != nil { // a method of the user's error panicked
			name = fmt.Sprintf("%T", err)
		}
	}()
	return failure.Of(err).Type
}

// outage logs once that the broker can't be reached, and once that it is back, whichever
// request notices it.
type outage struct {
	log  logger
	own  *ownDelay
	down atomic.Bool

	mu  sync.Mutex
	ops map[string]struct{}  // operations that have failed and not succeeded since
	at  map[string]time.Time // when inPart last logged each queue
}

// inPartPause is the minimum time between two warnings about the same queue in inPart.
const inPartPause = time.Minute

// inPart logs, once in a while, that results of one queue can't be settled although the
// broker can be reached: some of its stored data is damaged.
func (o *outage) inPart(queue string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, said := o.at[queue]; said && time.Since(last) < inPartPause {
		return
	}
	if o.at == nil {
		o.at = make(map[string]time.Time)
	}
	o.at[queue] = time.Now()
	o.log.warn("results of a queue can't be settled, trying again", "queue", queue, "error", err)
}

// failed notes a failure of an operation. It logs the first one, and reports whether it
// did.
func (o *outage) failed(op string, err error) (said bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if said = len(o.ops) == 0; said {
		text := "broker out of reach, trying again"
		args := []any{"op", op, "error", err}
		if delay, is := o.own.blamed(); is && isLate(err) {
			text = "this process is too busy to hear the broker in time, trying again"
			args = append(args, "delay", delay)
		} else if errors.Is(err, broker.ErrDamaged) {
			text = "the broker's data is damaged, trying again; an operator has to repair it"
		}
		o.log.warn(text, args...)
		o.ops = make(map[string]struct{})
		o.down.Store(true)
	}
	o.ops[op] = struct{}{}
	return said
}

// over notes that an operation has succeeded.
func (o *outage) over(op string) {
	if !o.down.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.ops[op]; !ok {
		return
	}
	delete(o.ops, op)
	if len(o.ops) == 0 {
		o.down.Store(false)
		o.log.info("broker is back")
	}
}

// clear notes that a new session has begun: all noted failures belong to old sessions.
func (o *outage) clear() {
	if !o.down.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.ops)
	o.down.Store(false)
	o.log.info("broker is back")
}
