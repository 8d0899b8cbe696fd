package task

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// target is a set of things that an option can be given to, as bits.
type target uint8

const (
	onCall    target = 1 << iota // one call, or a step
	onHandler                    // a handler without a handle: HandleFunc
	onGroup                      // a group as a whole
	onHandle                     // a handle, which can be for calls and for handlers
	onDefine                     // the definition of a handle, which submitters and minions share
)

// option is an [Option] that knows where it has an effect.
type option struct {
	name   string
	counts target // onCall, onHandler, onGroup, or several of them
	set    func(*Settings)
}

func (o *option) apply(s *Settings) { o.set(s) }

// resolve returns the settings that the options of a target result in. Settings are shared by
// handles and all their calls, and never change.
func resolve(where target, opts []Option) *Settings { return noOptions.with(where, opts) }

// with returns the settings with the options added. An option that has no effect on the target is
// an error.
func (s *Settings) with(where target, opts []Option) *Settings {
	if len(opts) == 0 {
		return s
	}
	c := s.clone()
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
func (s *Settings) check(where target, o *option) {
	switch {
	case where == onDefine || o.counts&where != 0:
	case where == onHandle && o.counts == onHandler:
		s.registry = o.name
	case where == onHandle:
	case where == onCall:
		s.fail("%s", misplaced(o.name))
	case where == onHandler:
		s.fail("%s has no effect on a handler: give it to the calls, or to task.Define", o.name)
	default:
		s.fail("%s has no effect on a group as a whole: give it to the calls in it", o.name)
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
