package task

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// Priority is the priority of a call among those that wait in its queue, 0 to 9. A higher one is handed out first; one
// hand-out in sixteen goes to a lower one, so that none waits for ever. The default is 5.
//
// It needs a broker with broker.Lanes, as do [FairKey], [Sequence] and [Limit]. Members of squads can't have any of the four.
// In a queue in Redis that is split into partitions, calls with one of the four are kept in one partition. There, calls
// without any of them don't count for the [Unique] keys of those that have one.
func Priority(p int) Option {
	return newOption("Priority", onCall, func(s *request.Settings) {
		if p < 0 || p > broker.MaxPriority {
			fail(s, "Priority(%d), want 0 to %d; the default is %d", p, broker.MaxPriority, broker.DefaultPriority)
			return
		}
		lane(s).Priority = uint8(p)
	})
}

// FairKey gives a call a key of fairness, such as the name of a tenant. Calls of one priority take turns by their keys, so
// that one tenant with many calls does not hold up the others. Each key gets as many turns as its weight says, which is 1
// unless an operator has set another one with Arbiter.SetWeight. A key has 1 to 255 bytes. The default is no key; calls without
// a key take their turns like those of any other key. [FairKeyFrom] takes the key from the arguments.
func FairKey(key string) Option {
	return newOption("FairKey", onCall, func(s *request.Settings) { setKey(s, "FairKey", &lane(s).FairKey, key) })
}

// FairKeyFrom is [FairKey] with a key that f makes of the arguments. It is for [Define] and [Task.With]:
//
//	task.Define[SendArgs, task.None]("send", task.FairKeyFrom(func(a SendArgs) string { return a.Tenant }))
//
// f is called when the arguments are bound. In a [Step] the missing argument has its zero value then.
func FairKeyFrom[Args any](f func(Args) string) Option {
	return newOption("FairKeyFrom", onCall, func(s *request.Settings) { setKeyFrom(s, "FairKeyFrom", &lane(s).FairKey, f) })
}

// SequenceOption changes a [Sequence].
type SequenceOption func(*request.Lane)

// Sequence puts a call into a sequence: the calls of a queue with the same key run strictly one after the other, in the order
// in which they were sent. A call that is retried, snoozed or parked keeps its place, and the next one starts when it is final,
// whatever its outcome; see [StopOnFailure]. A key has 1 to 255 bytes. The default is no sequence. [SequenceFrom] takes the key
// from the arguments.
//
// A handler must not wait for another call of its own sequence: that one would never start.
func Sequence(key string, opts ...SequenceOption) Option {
	return newOption("Sequence", onCall, func(s *request.Settings) {
		setKey(s, "Sequence", &lane(s).Sequence, key)
		setSequence(lane(s), opts)
	})
}

// SequenceFrom is [Sequence] with a key that f makes of the arguments, by the rules of [FairKeyFrom].
func SequenceFrom[Args any](f func(Args) string, opts ...SequenceOption) Option {
	return newOption("SequenceFrom", onCall, func(s *request.Settings) {
		setKeyFrom(s, "SequenceFrom", &lane(s).Sequence, f)
		setSequence(lane(s), opts)
	})
}

// StopOnFailure halts the sequence if the call fails for good or expires: the calls behind it wait. They go on after
// Arbiter.ResumeSequence, or when the dead letter was requeued and has succeeded. Without it, the next one starts then, too.
func StopOnFailure() SequenceOption {
	return func(l *request.Lane) { l.StopOnFailure = true }
}

// LimitOption changes a [Limit].
type LimitOption func(*charge)

// charge is a Limit that is being made.
type charge struct {
	request.Charge
	err error
}

// Limit says that a call counts for the limit of its queue with that name: 1 to 128 of A-Z a-z 0-9 _ . and -. Package limit
// makes the definitions of limits: how many of such calls may run at once, or how many may start in a time. Arbiter.SetLimit,
// Arbiter.DeclareLimits and minion.Limits store them. A name without a definition limits nothing. While the limit is exhausted,
// the call waits, and calls behind it that do not need the limit are handed out.
//
// A call can have up to eight limits, each with another name; it takes all of them together. If a name is given again, the
// later option counts. The default is no limit.
//
// A handler must not wait for a call that needs what the handler holds: with a concurrency of 1 that one would never start.
func Limit(name string, opts ...LimitOption) Option {
	return newOption("Limit", onCall, func(s *request.Settings) {
		c := charge{Charge: request.Charge{Limit: name, Cost: 1}}
		if err := broker.CheckName("limit", name); err != nil {
			c.err = err
		}
		for _, o := range opts {
			if o != nil {
				o(&c)
			}
		}
		if c.err != nil {
			fail(s, "Limit(%q): %v", name, c.err)
			return
		}
		l := lane(s)
		if i := slices.IndexFunc(l.Limits, func(other request.Charge) bool { return other.Limit == name }); i >= 0 {
			l.Limits[i] = c.Charge
			return
		}
		if l.Limits = append(l.Limits, c.Charge); len(l.Limits) > broker.MaxCharges {
			fail(s, "Limit(%q) is one too many: a call can have %d limits", name, broker.MaxCharges)
		}
	})
}

// KeyedBy counts the call for a key of the limit, such as the name of a tenant: each key of a limit is counted on its own.
// A key has 1 to 255 bytes. The default is no key, which is counted on its own, too.
func KeyedBy(key string) LimitOption {
	return func(c *charge) {
		c.fail(checkLaneKey("KeyedBy", key))
		c.Key = request.LaneKey{Value: key}
	}
}

// KeyedFrom is [KeyedBy] with a key that f makes of the arguments, by the rules of [FairKeyFrom].
func KeyedFrom[Args any](f func(Args) string) LimitOption {
	return func(c *charge) {
		if f == nil {
			c.fail(errors.New("KeyedFrom(nil), want a function of the arguments"))
			return
		}
		c.Key = request.LaneKey{From: keyFrom(fmt.Sprintf("Limit(%q): KeyedFrom", c.Limit), f)}
	}
}

// Costs is how much of the limit the call uses, 1 to 1,000,000. The default is 1. A call that costs more than the limit has
// runs when nothing else uses the limit.
func Costs(n int) LimitOption {
	return func(c *charge) {
		c.fail(checkCost("Costs", n))
		c.Cost, c.CostFrom = uint32(n), nil
	}
}

// CostsFrom is [Costs] with a number that f makes of the arguments, by the rules of [FairKeyFrom].
func CostsFrom[Args any](f func(Args) int) LimitOption {
	return func(c *charge) {
		if f == nil {
			c.fail(errors.New("CostsFrom(nil), want a function of the arguments"))
			return
		}
		what := fmt.Sprintf("Limit(%q): CostsFrom", c.Limit)
		c.CostFrom = func(args any) (uint32, error) {
			a, err := argsAs[Args](what, args)
			if err != nil {
				return 0, err
			}
			n := f(a)
			return uint32(n), checkCost(what, n)
		}
	}
}

// NoLane removes [Priority], [FairKey], [Sequence] and [Limit], all that were given before it.
func NoLane() Option {
	return newOption("NoLane", onCall, func(s *request.Settings) { s.Lane = nil })
}

// lane returns the lane of settings that are being made, for writing. The settings have a lane of their own, made by Clone, or
// none.
func lane(s *request.Settings) *request.Lane {
	if s.Lane == nil {
		s.Lane = &request.Lane{Priority: broker.DefaultPriority}
	}
	return s.Lane
}

func setSequence(l *request.Lane, opts []SequenceOption) {
	l.StopOnFailure = false
	for _, o := range opts {
		if o != nil {
			o(l)
		}
	}
}

// setKey sets a key to a value.
func setKey(s *request.Settings, option string, k *request.LaneKey, key string) {
	if err := checkLaneKey(option, key); err != nil {
		fail(s, "%v", err)
		return
	}
	*k = request.LaneKey{Value: key}
}

// setKeyFrom sets a key to a function of the arguments.
func setKeyFrom[Args any](s *request.Settings, option string, k *request.LaneKey, f func(Args) string) {
	if f == nil {
		fail(s, "%s(nil), want a function of the arguments", option)
		return
	}
	*k = request.LaneKey{From: keyFrom(option, f)}
}

// keyFrom returns f with checks of the arguments and of the key.
func keyFrom[Args any](option string, f func(Args) string) func(any) (string, error) {
	return func(args any) (string, error) {
		a, err := argsAs[Args](option, args)
		if err != nil {
			return "", err
		}
		key := f(a)
		return key, checkLaneKey(option, key)
	}
}

// argsAs returns the arguments of a call for the function of an option.
func argsAs[Args any](option string, args any) (Args, error) {
	if a, ok := args.(Args); ok {
		return a, nil
	}
	var none Args
	return none, fmt.Errorf("%s: its function takes %T, and the arguments of this call are %T: "+
		"give it to the handle of the task that has these arguments, or use the option with a fixed value", option, none, args)
}

// checkLaneKey returns an error if a key is empty or too long.
func checkLaneKey(option, key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%s: the key is empty; give it a key, or leave the option out for a call without one (NoLane removes it)", option)
	case len(key) > broker.MaxLaneKey:
		return fmt.Errorf("%s: a key of %d bytes, the limit is %d", option, len(key), broker.MaxLaneKey)
	}
	return nil
}

// checkCost returns an error if a cost is out of range.
func checkCost(option string, n int) error {
	if n < 1 || n > broker.MaxCost {
		return fmt.Errorf("%s: a cost of %d, want 1 to %d", option, n, broker.MaxCost)
	}
	return nil
}

// fail records that the limit is invalid. The first error counts.
func (c *charge) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}
