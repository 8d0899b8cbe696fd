package limits_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/limits"
	"github.com/go-arbiter/arbiter/limit"
)

// lanes is a broker that only has the definitions of one queue.
type lanes struct {
	broker.Lanes
	stored map[string]broker.Limit
	before func(l broker.Limit) error // called before a definition is stored; nil is nothing
}

func (b *lanes) AddLimit(_ context.Context, queue string, l broker.Limit) (broker.Limit, error) {
	if queue != "q" {
		return l, fmt.Errorf("asked for the queue %s", queue)
	}
	if b.before != nil {
		if err := b.before(l); err != nil {
			return l, err
		}
	}
	name := l.Name + "/" + l.Key
	if _, ok := b.stored[name]; !ok {
		b.stored[name] = l
	}
	return b.stored[name], nil
}

func newLanes(stored ...broker.Limit) *lanes {
	b := &lanes{stored: make(map[string]broker.Limit)}
	for _, l := range stored {
		b.stored[l.Name+"/"+l.Key] = l
	}
	return b
}

// Definitions that are missing are stored. Others stay, and the error has both definitions of those that differ.
func TestDeclare(t *testing.T) {
	old := broker.Limit{Name: "old", Most: 3}
	paused := broker.Limit{Name: "paused", Rate: 100, Per: time.Second, Burst: 5, Paused: true}
	b := newLanes(old, paused)
	declared := []limit.Limit{
		limit.Concurrency("old", 4), limit.Rate("paused", 100, time.Second),
		limit.Concurrency("new", 5), limit.ForKey("acme", limit.Concurrency("old", 6)),
	}
	for range 2 { // the second program finds everything stored
		err := limits.Declare(t.Context(), b, "q", declared)
		var conflict *limit.ConflictError
		if !errors.As(err, &conflict) || conflict.Queue != "q" || conflict.Stored != old || conflict.Declared.Most != 4 {
			t.Errorf("error %v, want both definitions of old", err)
		}
		want := map[string]broker.Limit{
			"old/": old, "paused/": paused, "new/": {Name: "new", Most: 5}, "old/acme": {Name: "old", Key: "acme", Most: 6},
		}
		if !maps.Equal(b.stored, want) {
			t.Errorf("stored: %v, want %v", b.stored, want)
		}
	}
	err := limits.Declare(t.Context(), b, "q", []limit.Limit{limit.Concurrency("old", 4), limit.Concurrency("new", 4)})
	for _, want := range []string{
		"queue q: declared limit old: 4 at once; the stored one counts: old: 3 at once; store the declared one with Arbiter.SetLimit",
		"queue q: declared limit new: 4 at once; the stored one counts: new: 5 at once",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	if err := limits.Declare(t.Context(), b, "q", []limit.Limit{limit.Concurrency("old", 3)}); err != nil {
		t.Errorf("the stored definition again: %v", err)
	}
}

// A definition that comes while a program declares its own is not replaced, and the program says so.
func TestDeclareAtOnce(t *testing.T) {
	b := newLanes()
	b.before = func(l broker.Limit) error {
		b.stored[l.Name+"/"+l.Key] = broker.Limit{Name: l.Name, Most: 2}
		return nil
	}
	err := limits.Declare(t.Context(), b, "q", []limit.Limit{limit.Concurrency("x", 1)})
	var conflict *limit.ConflictError
	if !errors.As(err, &conflict) || conflict.Stored.Most != 2 || b.stored["x/"].Most != 2 {
		t.Errorf("error %v, want a conflict with the definition of the other program", err)
	}
}

// An error of the broker is returned, and declaring again stores the rest.
func TestDeclareAgain(t *testing.T) {
	b := newLanes()
	away := fmt.Errorf("%w: away", broker.ErrUnavailable)
	b.before = func(l broker.Limit) error {
		if l.Name == "second" {
			return away
		}
		return nil
	}
	declared := []limit.Limit{limit.Concurrency("first", 1), limit.Concurrency("second", 2)}
	err := limits.Declare(t.Context(), b, "q", declared)
	if !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), "limit second of queue q") {
		t.Errorf("error %v, want ErrUnavailable that names the limit", err)
	}
	b.before = nil
	if err := limits.Declare(t.Context(), b, "q", declared); err != nil || len(b.stored) != 2 {
		t.Errorf("declared again: %v, stored %v", err, b.stored)
	}
}

// Nothing is stored if a definition is not valid, or is declared twice.
func TestDeclareInvalid(t *testing.T) {
	for want, declared := range map[string][]limit.Limit{
		"limit b: invalid":                           {limit.Concurrency("a", 1), limit.Concurrency("b", 0)},
		"limit a: invalid: it is declared twice":     {limit.Concurrency("a", 1), limit.Concurrency("a", 1)},
		"invalid: a limit of 0 would stop its tasks": {limit.Named("a")},
		"limit a: invalid: ForKey with an empty key": {limit.ForKey("", limit.Concurrency("a", 1))},
	} {
		b := newLanes()
		err := limits.Declare(t.Context(), b, "q", declared)
		if !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), want) || len(b.stored) != 0 {
			t.Errorf("error %v with %v stored, want ErrInvalid with %q and nothing stored", err, b.stored, want)
		}
	}
	if err := limits.Declare(t.Context(), newLanes(), "no queue", nil); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("a bad queue: error %v", err)
	}
}
