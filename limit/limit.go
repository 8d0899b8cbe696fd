// Package limit makes the definitions of limits. A limit belongs to a queue. It says how many of the tasks that name it may run
// at once, or how many of them may start in a time:
//
//	limit.Concurrency("render", 10)                            // ten at once
//	limit.Rate("mail", 100, time.Second)                       // a hundred each second
//	limit.Rate("mail", 100, time.Second, limit.Burst(20))      // up to twenty of them at the same moment
//	limit.ForKey("acme", limit.Rate("mail", 500, time.Second)) // another definition for one key
//
// A task names its limits with task.Limit, and a key of each of them with task.KeyedBy. A definition holds for each key on its
// own; ForKey makes one for a single key, which holds for this key in place of the general one.
//
// Definitions are stored in the broker, and hold for all minions together. Arbiter.SetLimit stores one. minion.Limits and
// Arbiter.DeclareLimits store those that are not there yet, for programs that have their limits in the code.
package limit

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Limit is the definition of a limit. Make one with [Concurrency] or [Rate]. Methods that take a Limit return an error that
// wraps task.ErrInvalid, and names the limit and the remedy, if a name or a number is not valid.
type Limit struct {
	def broker.Limit
	err error
}

// Concurrency is a limit for what runs at once: the tasks that minions hold may cost that much together, 1 to 1,000,000,000. A
// task costs 1 unless task.Costs says otherwise. A task that runs again needs the limit again; while it waits for that, it holds
// nothing. A name is 1 to 128 of A-Z a-z 0-9 _ . and -.
func Concurrency(name string, most int) Limit {
	return Limit{def: broker.Limit{Name: name, Most: most}, err: positive("Concurrency", name, most)}
}

// Rate is a limit for what starts in a time: n in each period per, for tasks that cost 1. n is 1 to 1,000,000,000; per is one
// millisecond to broker.MaxDuration, which is ten years. The starts are spread over the period, see [Burst].
func Rate(name string, n int, per time.Duration, opts ...RateOption) Limit {
	l := Limit{def: broker.Limit{Name: name, Rate: n, Per: per}, err: positive("Rate", name, n)}
	for _, o := range opts {
		if o != nil {
			o(&l)
		}
	}
	return l
}

// RateOption changes a [Rate].
type RateOption func(*Limit)

// Burst is how much may start at the same moment after a pause, 1 to 1,000,000,000. In a span of time w at most the burst, and
// the rate in w, start. The default is a twentieth of the rate, or 1 if that is more.
func Burst(n int) RateOption {
	return func(l *Limit) {
		if n < 1 && l.err == nil {
			l.err = fmt.Errorf("limit %s: %w: Burst(%d), want 1 or more; leave it out for the default", l.def.Name, broker.ErrInvalid, n)
		}
		l.def.Burst = n
	}
}

// positive returns an error if a number of a definition is not positive.
func positive(what, name string, n int) error {
	if n >= 1 {
		return nil
	}
	return fmt.Errorf("limit %s: %w: %s with %d, want 1 or more; to stop the tasks for a while use Paused", name, broker.ErrInvalid, what, n)
}

// Named is a definition without a number. It can be stored only as [Paused]; until then a limit that has no other definition limits
// nothing.
func Named(name string) Limit { return Limit{def: broker.Limit{Name: name}} }

// ForKey is l for one key, 1 to 255 bytes: it holds for this key in place of the general definition.
func ForKey(key string, l Limit) Limit {
	if key == "" && l.err == nil {
		l.err = fmt.Errorf("limit %s: %w: ForKey with an empty key; give it a key, or leave it out for the definition of all keys", l.def.Name, broker.ErrInvalid)
	}
	l.def.Key = key
	return l
}

// Paused is l with its tasks stopped: none of them is handed out as long as this definition is stored. Tasks that run go on.
func Paused(l Limit) Limit {
	l.def.Paused = true
	return l
}

// Resumed removes [Paused]. It is for definitions that were read from a broker, see [Of].
func Resumed(l Limit) Limit {
	l.def.Paused = false
	return l
}

// Of is a definition that was read from a broker, such as one of those that Arbiter.Limits returns.
func Of(def broker.Limit) Limit { return Limit{def: def} }

// Definition returns the definition as a broker stores it, or the error that says what is wrong with it.
func (l Limit) Definition() (broker.Limit, error) {
	if l.err != nil {
		return l.def, l.err
	}
	return l.def, l.def.Check()
}

// String returns the definition in words, such as "mail: 100 per 1s, burst 5".
func (l Limit) String() string {
	d := &l.def
	var b strings.Builder
	b.WriteString(d.Name)
	if d.Key != "" {
		fmt.Fprintf(&b, " for key %q", d.Key)
	}
	b.WriteString(": ")
	var parts []string
	if d.Most > 0 {
		parts = append(parts, fmt.Sprintf("%d at once", d.Most))
	}
	if d.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%d per %v, burst %d", d.Rate, d.Per, d.Bursts()))
	}
	if d.Paused {
		parts = append(parts, "paused")
	}
	if parts == nil {
		parts = []string{"no number"}
	}
	b.WriteString(strings.Join(parts, ", "))
	return b.String()
}

// ConflictError says that a declared limit is stored with another definition, which stays. Arbiter.DeclareLimits returns it.
type ConflictError struct {
	Queue    string
	Declared broker.Limit
	Stored   broker.Limit
}

// Error names both definitions and the remedy.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("queue %s: declared limit %v; the stored one counts: %v; store the declared one with Arbiter.SetLimit, or change the declaration",
		e.Queue, Of(e.Declared), Of(e.Stored))
}
