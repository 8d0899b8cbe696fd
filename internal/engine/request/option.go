package request

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// Target is a set of things that an option can be given to, as bits.
type Target uint8

const (
	OnCall    Target = 1 << iota // one call, or a step
	OnHandler                    // a handler without a handle: HandleFunc
	OnGroup                      // a group as a whole
	OnHandle                     // a handle, which can be for calls and for handlers
	OnDefine                     // the definition of a handle, which submitters and minions share
)

// option is an [Option] that knows where it has an effect.
type option struct {
	name   string
	counts Target // OnCall, OnHandler, OnGroup, or several of them
	set    func(*Settings)
}

func (o *option) apply(s *Settings) { o.set(s) }

// Option is task.Option, which is an alias of it.
type Option interface{ apply(*Settings) }

// NewOption returns an option. It has an effect on the targets counts, and sets its value with set.
func NewOption(name string, counts Target, set func(*Settings)) Option {
	return &option{name, counts, set}
}

// Invalid returns an option whose call can't be sent: sending it reports err.
func Invalid(err error) Option {
	return NewOption("", OnCall, func(s *Settings) { s.FailWith(err) })
}

// Resolve returns the settings that the options of a target result in. Settings are shared by
// handles and all their calls, and never change.
func Resolve(where Target, opts []Option) *Settings { return noOptions.With(where, opts) }

// With returns the settings with the options added. An option that has no effect on the target is
// an error.
func (s *Settings) With(where Target, opts []Option) *Settings {
	if len(opts) == 0 {
		return s
	}
	c := s.Clone()
	for _, o := range opts {
		if o == nil {
			continue
		}
		if o, ok := o.(*option); ok {
			c.check(where, o)
		}
		o.apply(&c)
	}
	return &c
}

// check records an error if an option has no effect where it is given.
func (s *Settings) check(where Target, o *option) {
	switch {
	case where == OnDefine || o.counts&where != 0:
	case where == OnHandle && o.counts == OnHandler:
		s.registry = o.name
	case where == OnHandle:
	case where == OnCall:
		s.Fail("%s", misplaced(o.name))
	case where == OnHandler:
		s.Fail("%s has no effect on a handler: give it to the calls, or to task.Define", o.name)
	default:
		s.Fail("%s has no effect on a group as a whole: give it to the calls in it", o.name)
	}
}

// forCalls returns an error if calls of a handle with these settings can't be sent.
func (s *Settings) forCalls(name string) error {
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
