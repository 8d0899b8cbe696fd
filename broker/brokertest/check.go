package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// finals are the states in which a settlement can end a task.
var finals = []broker.State{
	broker.StateSucceeded, broker.StateFailed, broker.StateCanceled, broker.StateExpired,
}

// idsOf returns the ids of tasks, in order.
func idsOf(tasks []*broker.Task) []broker.ID {
	ids := make([]broker.ID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	return ids
}

// takenOf returns the ids of deliveries, in order.
func takenOf(ds []*broker.Delivery) []broker.ID {
	ids := make([]broker.ID, len(ds))
	for i, d := range ds {
		ids[i] = d.ID
	}
	return ids
}

// same checks that two lists hold equal ids in the same order.
func (r *rig) same(got, want []broker.ID) {
	r.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			r.Fatalf("id %d of %d is %s, want %s (got that one at index %d)",
				i, len(want), got[i], want[i], slices.Index(got, want[i]))
		}
	}
	r.Fatalf("got %d ids, want %d", len(got), len(want))
}

// sameSet checks that two lists hold the same ids, each once, in any order.
func (r *rig) sameSet(got, want []broker.ID) {
	r.Helper()
	left := map[broker.ID]bool{}
	for _, id := range want {
		left[id] = true
	}
	seen := map[broker.ID]bool{}
	for _, id := range got {
		switch {
		case seen[id]:
			r.Fatalf("task %s was returned twice", id)
		case !left[id]:
			r.Fatalf("task %s was returned, which is not an expected one", id)
		}
		seen[id] = true
		delete(left, id)
	}
	for id := range left {
		r.Fatalf("task %s and %d others were not returned", id, len(left)-1)
	}
}

// attempt checks the counters of a delivery.
func (r *rig) attempt(d *broker.Delivery, attempt uint32, retried, recoveries int) {
	r.Helper()
	if d.Attempt != attempt || d.Retried != retried || d.Recoveries != recoveries {
		r.Fatalf("delivery has attempt %d, retried %d, recoveries %d; want %d, %d, %d",
			d.Attempt, d.Retried, d.Recoveries, attempt, retried, recoveries)
	}
	if d.Start != attempt { // no attempt was given back unstarted
		r.Fatalf("delivery has attempt %d and start %d, want them equal", attempt, d.Start)
	}
}

// is checks that err wraps want.
func (r *rig) is(err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("error is %v, want one that wraps: %v", err, want)
	}
}

// names checks that the text of an error contains what.
func (r *rig) names(err error, what string) {
	r.Helper()
	if !strings.Contains(err.Error(), what) {
		r.Fatalf("error %q does not name %s", err, what)
	}
}

// duplicate checks that err is a *DuplicateError with these fields.
func (r *rig) duplicate(err error, id, holder broker.ID, key string) {
	r.Helper()
	var dup *broker.DuplicateError
	if !errors.As(err, &dup) || !errors.Is(err, broker.ErrDuplicate) {
		r.Fatalf("error is %v, want a *DuplicateError", err)
	}
	if dup.ID != id || dup.Holder != holder || dup.Key != key {
		r.Fatalf("%+v, want ID %s, Holder %s, Key %q", *dup, id, holder, key)
	}
}

// equal checks that an outcome equals the settled one.
func (r *rig) equal(got, want broker.Outcome) {
	r.Helper()
	if diff := diffOutcome(got, want); diff != "" {
		r.Fatalf("outcome differs: %s", diff)
	}
}

// diffOutcome returns how two outcomes differ, or "". An empty list equals nil, and times are
// compared in milliseconds.
func diffOutcome(got, want broker.Outcome) string {
	return diff(reflect.ValueOf(got), reflect.ValueOf(want))
}

// diffTask returns how a delivered task differs from the enqueued one, or "". It ignores Delay,
// Deadline and Blocked, which have no meaning after the hand-out.
func diffTask(got, want broker.Task) string {
	got.Delay, got.Deadline, got.Flow.Blocked = want.Delay, want.Deadline, want.Flow.Blocked
	return diff(reflect.ValueOf(got), reflect.ValueOf(want))
}

// diff compares two structs field by field.
func diff(got, want reflect.Value) string {
	for i := range want.NumField() {
		name := want.Type().Field(i).Name
		a, b := got.Field(i).Interface(), want.Field(i).Interface()
		if !alike(a, b) {
			return fmt.Sprintf("%s is %.200v, want %.200v", name, show(a), show(b))
		}
	}
	return ""
}

func alike(a, b any) bool {
	switch a := a.(type) {
	case []byte:
		return bytes.Equal(a, b.([]byte))
	case map[string]string:
		return maps.Equal(a, b.(map[string]string))
	case time.Time:
		b := b.(time.Time)
		return a.IsZero() == b.IsZero() && (a.IsZero() || a.UnixMilli() == b.UnixMilli())
	case *broker.Lane:
		return alikeLanes(a, b.(*broker.Lane))
	case *broker.Failure:
		b := b.(*broker.Failure)
		if a == nil || b == nil {
			return a == b
		}
		return a.Type == b.Type && a.Message == b.Message && a.Stack == b.Stack && a.Final == b.Final &&
			slices.Equal(a.Chain, b.Chain) && slices.Equal(a.Codes, b.Codes) && bytes.Equal(a.Seal, b.Seal)
	}
	return a == b
}

func alikeLanes(a, b *broker.Lane) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Priority == b.Priority && a.Key == b.Key && a.Sequence == b.Sequence && a.StopOnFailure == b.StopOnFailure &&
		slices.Equal(a.Limits, b.Limits)
}

func show(v any) any {
	if f, ok := v.(*broker.Failure); ok && f != nil {
		return fmt.Sprintf("%+v", *f)
	}
	if l, ok := v.(*broker.Lane); ok && l != nil {
		return fmt.Sprintf("%+v", *l)
	}
	if b, ok := v.([]byte); ok {
		return fmt.Sprintf("%d bytes %.60q", len(b), b)
	}
	return v
}

func isTooLarge(err error) bool { return errors.Is(err, broker.ErrTooLarge) }

// lost returns the error of settling one task at a consumer that does not own it: nil if the
// settlement was accepted.
func lost(errs []error, err error) error {
	if err != nil || len(errs) == 0 {
		return err
	}
	return errs[0]
}

func itoa(n int) string { return strconv.Itoa(n) }
