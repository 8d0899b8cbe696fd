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
)

// logger adds to a slog.Logger what all lines about a task have.
type logger struct {
	l        *slog.Logger
	discreet bool // errors and what children print are not logged: see codec.Logs
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

// failed is task for an error. One that is a panic or a crash is logged as a warning at
// least: it is a fault of the program, whatever becomes of the task. Its stack is
// logged, unless the error has all of it, as that of a crash whose output is one line.
func (l logger) failed(level slog.Level, msg string, d *broker.Delivery, err error, args ...any) {
	stack := stackOf(err)
	if stack != "" {
		level = max(level, slog.LevelWarn)
	}
	if l.discreet {
		l.task(level, msg, d, append(args, "error", fmt.Sprintf("hidden, a %s", typeOf(err)))...)
		return
	}
	args = append(args, "error", err)
	if stack != "" {
		if !strings.Contains(fmt.Sprint(err), strings.TrimSpace(stack)) { // Sprint survives an Error that panics
			args = append(args, "stack", stack)
		}
	}
	l.task(level, msg, d, args...)
}

// typeOf returns the type of what a handler returned or panicked with.
func typeOf(err error) (name string) {
	defer func() {
		if recover() != nil { // a method of the user's error
			name = fmt.Sprintf("%T", err)
		}
	}()
	return newFailure(err).Type
}

// outage says once that the broker is out of reach, and once that it is back,
// whatever notices it.
type outage struct {
	log  logger
	own  *ownDelay
	down atomic.Bool

	mu  sync.Mutex
	ops map[string]struct{}  // what failed, and has not succeeded since
	at  map[string]time.Time // when it was said of a queue that its results can't be settled
}

// inPartPause is how often it is said of a queue that its results can't be settled, while
// those of others are.
const inPartPause = time.Minute

// inPart says now and then that results of a queue can't be settled, though the broker is
// there: something in its store is damaged.
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

// failed notes that something fails, and reports whether that was said.
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

// over notes that something succeeds again.
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

// clear notes that a new session begins: all that failed was of old ones.
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
