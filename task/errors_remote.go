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
	"github.com/go-arbiter/arbiter/internal/base/cut"
	"github.com/go-arbiter/arbiter/internal/engine/title"
)

// RemoteError is the error of a handler as the minion reported it. errors.As finds it in the
// error of a wait. errors.Is finds the errors that it wrapped, if both programs have
// registered them under the same name with [RegisterError].
type RemoteError struct {
	Task     string   // the name of the task; empty if it is not known
	ID       ID       // of the task
	Type     string   // the Go type of the handler's error, such as "*fs.PathError"
	Message  string   // its message
	Stack    string   // the stack of a panic; empty for an error that was returned
	Chain    []string // the messages of the errors that it wraps, outermost first
	Attempts int      // how often the task was started

	codes []string // the names of the registered errors that it wraps
}

// Error returns the name of the task, or its id if the name is not known, and the message.
func (e *RemoteError) Error() string {
	switch {
	case e.Task != "":
		return fmt.Sprintf("task %s: %s", e.Task, e.Message)
	case !e.ID.IsZero():
		return fmt.Sprintf("%s: %s", title.Of(e.ID, ""), e.Message)
	}
	return e.Message
}

// Is reports whether the remote error wrapped target, as far as that is known here: target
// must be registered under the same name in both programs. A nil RemoteError, such as the
// LastFailure of a task that never failed, wraps nothing.
func (e *RemoteError) Is(target error) bool {
	if e == nil {
		return false
	}
	for _, code := range e.codes {
		if registered.get(code) == target || memberErrors[code] == target {
			return true
		}
	}
	return false
}

// NewRemoteError returns the error for a stored outcome of a task that has failed.
func NewRemoteError(id ID, o *broker.Outcome) *RemoteError {
	e := &RemoteError{Task: o.Name, ID: id, Attempts: int(o.Attempts), Message: "failed"}
	if f := o.Err; f != nil {
		e.Type, e.Message, e.Stack, e.Chain, e.codes = f.Type, f.Message, f.Stack, f.Chain, f.Codes
	}
	return e
}

// NewFailure returns the form in which an error is stored and sent: its message, type and
// chain, and the names of the registered errors that it wraps. The message is cut to
// [broker.MaxMessage] bytes. The chain has at most 16 messages, each cut to an eighth of that.
func NewFailure(err error) *broker.Failure {
	f := &broker.Failure{
		Type:    fmt.Sprintf("%T", plain(err)),
		Message: cut.To(message(err), broker.MaxMessage),
		Codes:   registered.match(err),
	}
	var final *NoRetryError
	f.Final = errors.As(err, &final)
	const maxChain = 16
	for e := errors.Unwrap(plain(err)); e != nil && len(f.Chain) < maxChain; e = errors.Unwrap(e) {
		f.Chain = append(f.Chain, cut.To(message(e), broker.MaxMessage/8))
	}
	return f
}

// plain removes the marks of NoRetry and RetryAfter, which are for the minion only.
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

// message calls the Error method, which is the user's code and may panic.
func message(err error) (msg string) {
	defer func() {
		if p := recover(); p != nil {
			msg = fmt.Sprintf("%T whose Error method panics: %v", err, p)
		}
	}()
	return err.Error()
}

// registry holds the registered errors by name: they keep their identity on their way.
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

// RegisterError gives an error a name under which it is stored: 1 to 128 of A-Z a-z 0-9 _ . and -.
// If a handler returns an error that wraps target, errors.Is(err, target) holds at the caller,
// too. Both programs must register it, usually in an init function beside its declaration.
//
// Registered from the start are context.Canceled, context.DeadlineExceeded, fs.ErrNotExist,
// fs.ErrExist, fs.ErrPermission, and the errors of this package that a task can fail with.
//
// The error wraps [ErrInvalid]: the name is not valid or belongs to another error, or target is
// nil or not comparable. Registering the same error again under its name is no error.
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

// match returns the names of the registered errors that err wraps, sorted.
func (r *registry) match(err error) (names []string) {
	defer func() {
		if recover() != nil { // an Is method of the user may panic
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
