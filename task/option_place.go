package task

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// place is where options are given, or where they count. Several are added up.
type place uint8

const (
	onCall    place = 1 << iota // one call, or a step
	onHandler                   // a handler that has no handle: HandleFunc
	onGroup                     // a group as a whole
	onHandle                    // a handle, which can be for calls and for handlers
	onDefine                    // the definition of a handle, which both sides have
)

// option is an [Option] that knows where it counts.
type option struct {
	name   string
	counts place // of onCall, onHandler and onGroup
	set    func(*Settings)
}

func (o *option) apply(s *Settings) { o.set(s) }

// resolve returns what the options given in a place come to. Settings are shared
// by handles and all their calls: nobody changes them.
func resolve(where place, opts []Option) *Settings { return noOptions.with(where, opts) }

// with returns the settings with options added. An option that has no effect in
// that place is an error.
func (s *Settings) with(where place, opts []Option) *Settings {
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

// check notes an option that has no effect in the place where it is given.
func (s *Settings) check(where place, o *option) {
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

// forCalls reports why no calls can be sent with the settings of a handle.
func (s *Settings) forCalls(name string) error {
	if s.registry == "" {
		return nil
	}
	return fmt.Errorf("task %s: %w option: %s", name, broker.ErrInvalid, misplaced(s.registry))
}

// misplaced says why an option that counts at registration can't be on a call.
func misplaced(name string) string {
	return name + " has no effect on a call: it counts where the handler is registered. " +
		"Give it to task.Define, or to the handle that task.Handle gets, and send calls by a handle without it"
}
