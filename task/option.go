package task

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// Option changes how a task's calls are stored and run. Options are given to [Define] and
// [Task.With], for all calls, or to [Call.With], for one. Sending the call reports an invalid
// value, and an option that has no effect where it is given: for example [WithBackoff] on a
// call.
//
// Later options win over earlier ones. Most options have a value that removes an earlier one, or
// another option that does so, such as [NoMeta]. [Retries] and [Timeout] have none: a later one
// can only set another value. Each duration is 0 to broker.MaxDuration, which is ten years, unless
// the option says otherwise. A nil Option is ignored.
type Option interface {
	apply(s *settings, where target)
}

// Invalid returns an option that makes sending the call report err, and registering the handler
// as well. It is for functions that return an option and find that it can't be made. The error
// wraps [ErrInvalid], and err. Invalid(nil) has no effect.
func Invalid(err error) Option {
	if err != nil && !errors.Is(err, broker.ErrInvalid) {
		err = fmt.Errorf("%w option: %w", broker.ErrInvalid, err)
	}
	return newOption("Invalid", onCall|onHandler, func(s *request.Settings) { failWith(s, err) })
}

// target is a set of things that an option can be given to, as bits.
type target uint8

const (
	onCall    target = 1 << iota // one call, or a step
	onHandler                    // a handler without a handle: HandleFunc
	onHandle                     // a handle, which can be for calls and for handlers
	onDefine                     // the definition of a handle, which submitters and minions share
)

// option is an [Option] that knows where it has an effect.
type option struct {
	name   string
	counts target // onCall, onHandler, or both
	set    func(*request.Settings)
}

func newOption(name string, counts target, set func(*request.Settings)) Option {
	return &option{name, counts, set}
}

// apply implements [Option].
func (o *option) apply(s *settings, where target) {
	s.check(where, o)
	o.set(&s.Settings)
}

// settings are the values that options result in. They are shared by handles and all their calls,
// and never change.
type settings struct {
	request.Settings
	registry string // the last option after Define that only a registration can use; "" if there is none
}

var noOptions = &settings{Settings: request.Default()}

// resolve returns the settings that the options of a target result in.
func resolve(where target, opts []Option) *settings { return noOptions.with(where, opts) }

// with returns the settings with the options added. An option that has no effect on the target is
// an error.
func (s *settings) with(where target, opts []Option) *settings {
	if len(opts) == 0 {
		return s
	}
	c := &settings{s.Clone(), s.registry}
	c.add(where, opts)
	return c
}

// add applies options to settings that are being made.
func (s *settings) add(where target, opts []Option) {
	for _, o := range opts {
		if o != nil {
			o.apply(s, where)
		}
	}
}

// adding returns the change of a request that gets the options; nil is none.
func adding(opts []Option) func(*request.Settings) {
	if len(opts) == 0 {
		return nil
	}
	return func(s *request.Settings) {
		with := settings{Settings: *s}
		with.add(onCall, opts)
		*s = with.Settings
	}
}

// check records an error if an option has no effect where it is given.
func (s *settings) check(where target, o *option) {
	switch {
	case where == onDefine || o.counts&where != 0:
	case where == onHandle && o.counts == onHandler:
		s.registry = o.name
	case where == onHandle:
	case where == onCall:
		fail(&s.Settings, "%s", misplaced(o.name))
	default:
		fail(&s.Settings, "%s has no effect on a handler: give it to the calls, or to task.Define", o.name)
	}
}

// forCalls returns an error if calls of a handle with these settings can't be sent.
func (s *settings) forCalls(name string) error {
	if s.registry == "" {
		return nil
	}
	return fmt.Errorf("task %s: %w option: %s", name, broker.ErrInvalid, misplaced(s.registry))
}

// misplaced returns the message for an option on a call that only counts at registration.
func misplaced(name string) string {
	return name + " has no effect on a call: it counts where the handler is registered. " +
		"Give it to task.Define, or to the handle that task.Handle gets, and send calls by a handle without it"
}

// fail records that an option is invalid. The first error counts.
func fail(s *request.Settings, format string, args ...any) {
	failWith(s, fmt.Errorf("%w option: %s", broker.ErrInvalid, fmt.Sprintf(format, args...)))
}

// failWith is fail with a complete error.
func failWith(s *request.Settings, err error) {
	if s.Err == nil {
		s.Err = err
	}
}

// checkDuration records an error unless d is between least and [broker.MaxDuration].
func checkDuration(s *request.Settings, name string, d, least time.Duration) {
	if d < least || d > broker.MaxDuration {
		fail(s, "%s(%v), want %v to %v", name, d, least, broker.MaxDuration)
	}
}
