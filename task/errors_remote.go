package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// RemoteError is the error of a handler, as it came back from the minion. Use
// errors.As to get at it. errors.Is finds errors that both sides have given
// the same name with [RegisterError].
type RemoteError struct {
	Task     string // name of the task
	ID       ID
	Type     string   // Go type of the error there, such as "*fs.PathError"
	Message  string   // what its Error returned there
	Stack    string   // where it panicked; empty for an error that was returned
	Chain    []string // messages of the errors it wraps, outermost first
	Attempts int      // how often the task was started

	codes []string
}

// Error names the task and returns the remote message. Where the name is not
// known, the id stands for it.
func (e *RemoteError) Error() string {
	switch {
	case e.Task != "":
		return fmt.Sprintf("task %s: %s", e.Task, e.Message)
	case !e.ID.IsZero():
		return fmt.Sprintf("%s: %s", Title(e.ID, ""), e.Message)
	}
	return e.Message
}

// Is reports whether the remote error wrapped target, as far as that is known
// here: target must be registered under the same name on both sides. A nil
// RemoteError, such as a LastFailure that there is not, wraps nothing.
func (e *RemoteError) Is(target error) bool {
	if e == nil {
		return false
	}
	for _, code := range e.codes {
		if registered.get(code) == target || ofMembers[code] == target {
			return true
		}
	}
	return false
}

// NewRemoteError returns the error that a failure stands for.
func NewRemoteError(id ID, o *broker.Outcome) *RemoteError {
	e := &RemoteError{Task: o.Name, ID: id, Attempts: int(o.Attempts), Message: "failed"}
	if f := o.Err; f != nil {
		e.Type, e.Message, e.Stack, e.Chain, e.codes = f.Type, f.Message, f.Stack, f.Chain, f.Codes
	}
	return e
}

// NewFailure returns an error as it travels: its message, type, chain, and the
// names of the registered errors that it is. Messages and chain are cut to
// their limits.
func NewFailure(err error) *broker.Failure {
	f := &broker.Failure{
		Type:    fmt.Sprintf("%T", plain(err)),
		Message: cut(message(err), broker.MaxMessage),
		Codes:   registered.match(err),
	}
	var final *NoRetryError
	f.Final = errors.As(err, &final)
	const maxChain = 16
	for e := errors.Unwrap(plain(err)); e != nil && len(f.Chain) < maxChain; e = errors.Unwrap(e) {
		f.Chain = append(f.Chain, cut(message(e), broker.MaxMessage/8))
	}
	return f
}

// plain removes the marks that only speak to the minion.
func plain(err error) error {
	for {
		switch e := err.(type) { //nolint:errorlint // peels one layer at a time
		case *NoRetryError:
			err = e.Err
		case *RetryAfterError:
			err = e.Err
		default:
			return err
		}
	}
}

// message calls Error, which is the user's code and may panic.
func message(err error) (msg string) {
	defer func() {
		if p := recover(); p != nil {
			msg = fmt.Sprintf("%T whose Error method panics: %v", err, p)
		}
	}()
	return err.Error()
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit-len("…")] + "…"
}

// registry holds the errors that keep their identity on their way.
type registry struct {
	mu     sync.RWMutex
	byName map[string]error
}

var registered = registry{byName: map[string]error{
	"context.Canceled":         context.Canceled,
	"context.DeadlineExceeded": context.DeadlineExceeded,
	"fs.ErrNotExist":           fs.ErrNotExist,
	"fs.ErrExist":              fs.ErrExist,
	"fs.ErrPermission":         fs.ErrPermission,
}}

// RegisterError gives an error a name under which it travels, so that
// errors.Is(err, target) holds at the caller for an error that wraps target at
// the handler. Both programs must register it, usually in an init function
// beside its declaration. Some errors of the standard library are registered
// from the start: context.Canceled and DeadlineExceeded, fs.ErrNotExist,
// ErrExist and ErrPermission. The error that it returns says that the name is
// taken by another error.
func RegisterError(name string, target error) error {
	if err := broker.CheckName("error", name); err != nil {
		return err
	}
	if target == nil {
		return fmt.Errorf("error name %s: %w: the error is nil", name, ErrInvalid)
	}
	if !reflect.TypeOf(target).Comparable() {
		return fmt.Errorf("error name %s: %w: %T can't be compared; register a pointer", name, ErrInvalid, target)
	}
	if !registered.add(name, target) {
		return fmt.Errorf("error name %s: %w: another error has it", name, ErrInvalid)
	}
	return nil
}

func (r *registry) add(name string, target error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.byName[name]; ok {
		return old == target
	}
	r.byName[name] = target
	return true
}

func (r *registry) get(name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

// match returns the names of the errors that err is, sorted.
func (r *registry) match(err error) (names []string) {
	defer func() {
		if recover() != nil { // an Is method of the user's
			names = nil
		}
	}()
	r.mu.RLock()
	known := maps.Clone(r.byName)
	r.mu.RUnlock()
	for name, target := range known {
		if errors.Is(err, target) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
