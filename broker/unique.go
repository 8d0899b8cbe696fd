package broker

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Unique is the part of a [Task] that concerns its unique key: [Task].Unique. It is zero for a
// task without a key.
//
// A key has at most one holder in a queue. The holder has the key until it is final, or with
// UntilStart until it starts, and for the time For after its enqueue at least. Without a
// [Uniques] capability, a task with any field but Key is ErrUnsupported.
//
// MaxAge and OnConflict are read by Enqueue only. For, MaxAge and OnConflict of a [Delivery]
// are those of the enqueued task, and have no effect any more.
type Unique struct {
	Key string // unique key within the queue, see ScopedKey; "" is none, and then the other fields are zero

	For        time.Duration // how long the key is held from the enqueue on, at least; also after the task has ended; 0 is no such time
	UntilStart bool          // the key is free when the task starts, see Uniques.StartKey; else when it is final
	OnConflict Conflict      // what Enqueue does if another task has the key
	MaxAge     time.Duration // a holder that waits for longer is not replaced, see Conflict; 0 is no limit; else 0 unless OnConflict replaces
}

// Conflict is what [Broker.Enqueue] does with a task whose unique key another task has.
//
// A holder can be replaced while it waits: it is scheduled, blocked, pending, retrying or
// parked. A holder with UntilStart can be replaced until it starts, also if a consumer holds
// it. A holder that is replaced ends as canceled, with [Outcome].ReplacedBy, and the new task
// takes its key. If a consumer holds it, it ends like a running task that is cancelled, and
// StartKey refuses its start. The time For of a task that is replaced ends. A holder takes
// over the age of the task that it replaces; so with MaxAge a series of tasks that replace
// each other ends, and the last one of it runs.
type Conflict uint8

// The conflicts. The values are on the wire: new ones are added at the end.
const (
	// ConflictRefuse refuses the task with a *DuplicateError.
	ConflictRefuse Conflict = iota
	// ConflictReplace replaces the holder. If the holder can't be replaced, the task is refused
	// with a *DuplicateError.
	ConflictReplace
	// ConflictLatest replaces the holder. If the holder can't be replaced, the task waits
	// behind it: it is blocked, and takes the key when the holder would free it. Then it is
	// pending, or scheduled if its Delay or the time For of the holder is not over. One task
	// can wait behind a holder: a later one replaces it. Replacing a holder also replaces the
	// task behind it. If the holder has ended and has the key for the time For only, the task
	// takes the key at once, and is scheduled until that time is over.
	//
	// A task with ConflictLatest or ConflictCancel is in no flow: it would have two reasons to be blocked.
	ConflictLatest
	// ConflictCancel is ConflictLatest, and a holder that can't be replaced since a consumer holds it is
	// cancelled, as by Cancel: its consumer is told, and it is not handed out again. The task takes
	// the key when the holder has ended. A holder that is older than MaxAge is not cancelled.
	ConflictCancel
)

// MaxConflict is the largest value of a Conflict.
const MaxConflict = ConflictCancel

// Waits reports whether a new task may wait behind the holder of its key.
func (c Conflict) Waits() bool { return c == ConflictLatest || c == ConflictCancel }

// replaces reports whether the conflict can end with the new task in the place of the holder.
func (c Conflict) replaces() bool { return c != ConflictRefuse }

// plain reports whether no field but the key is set.
func (u *Unique) plain() bool {
	return u.For == 0 && !u.UntilStart && u.OnConflict == ConflictRefuse && u.MaxAge == 0
}

// check returns the reason why the key of t can't be stored, or "".
func (u *Unique) check(t *Task) string {
	switch {
	case u.plain():
		return ""
	case u.Key == "":
		return "it has a rule for its unique key, and no key"
	case u.For < 0 || u.For > MaxDuration:
		return fmt.Sprintf("its unique key is held for %v, want 0 to %v", u.For, MaxDuration)
	case u.OnConflict > MaxConflict:
		return fmt.Sprintf("conflict %d of its unique key, want 0 to %d", u.OnConflict, MaxConflict)
	case u.MaxAge < 0 || u.MaxAge > MaxDuration:
		return fmt.Sprintf("a holder of its unique key is replaced up to an age of %v, want 0 to %v", u.MaxAge, MaxDuration)
	case u.MaxAge > 0 && !u.OnConflict.replaces():
		return fmt.Sprintf("a limit of %v for the age of the holder of its unique key, which it does not replace", u.MaxAge)
	case u.OnConflict.Waits() && (t.Flow.Blocked || !t.Flow.ID.IsZero()):
		return "a member of a group or pipe can't wait behind the holder of its unique key; use another conflict"
	}
	return ""
}

// Uniques is an optional capability: keys that are held for a time or until the start,
// conflicts that replace the holder, and keys that an operator looks up and frees. Each
// decision is made in the step that stores the task. [UniquesOf] returns the Uniques of a
// Broker.
type Uniques interface {
	// StartKey is called by a consumer that is about to start an attempt of a task with
	// Unique.UntilStart. It frees the key of the task, unless the key is held for the time For;
	// a task that waits behind takes the key. A repeated call changes nothing. The error wraps
	// ErrLeaseLost if the consumer does not own that attempt, and ErrCanceled if the task was
	// cancelled or replaced: then the attempt must not start, and is settled as canceled.
	StartKey(ctx context.Context, d *Delivery) error

	// LookupKeys returns one KeyStatus for each key of a queue, in order. A key is a
	// [Unique.Key]. The status of a key that nobody has is zero, except for Key. A queue whose
	// name is not valid is ErrInvalid; a queue that is not known has no keys. More than
	// MaxBatch keys are read in several parts.
	LookupKeys(ctx context.Context, queue string, keys []string) ([]KeyStatus, error)

	// FreeKeys frees keys, also those that are held for the time For. A holder that has not
	// ended goes on without its key; it can't be replaced any more. A task that waits behind it
	// takes the key at once, and is pending or scheduled. The result is that of LookupKeys
	// before the call. More than MaxBatch keys are freed in several parts.
	FreeKeys(ctx context.Context, queue string, keys []string) ([]KeyStatus, error)
}

// KeyStatus describes a unique key.
type KeyStatus struct {
	Key    string
	Holder ID        // the task that has it; it may have ended if Until is set; zero if nobody has it
	Next   ID        // the task that waits behind the holder; zero if there is none
	Since  time.Time // by the broker's clock: when the holder, or the first in a series of tasks that replaced each other, was enqueued; zero if the holder has ended
	Until  time.Time // by the broker's clock: the end of the time For; zero if there is none
}

// UniquesOf returns the broker as a [Uniques], or an error as [FlowsOf] does.
func UniquesOf(b Broker, what string) (Uniques, error) {
	return capability[Uniques](b, what, "Uniques")
}

// MaxScopedKey is the longest [Unique.Key], in bytes.
const MaxScopedKey = MaxName + len(scopeEnd) + MaxUniqueKey

// scopeEnd separates the scope from the key. It can't be part of a name, so it is in no
// scope.
const scopeEnd = "/"

// ScopedKey returns the [Unique.Key] of a key in a scope. The scope is a name: of the
// task, or one that several tasks share. Equal keys in different scopes are different. A
// broker compares the result as a whole.
func ScopedKey(scope, key string) string { return scope + scopeEnd + key }

// SplitKey returns the scope and key of a [Unique.Key]. The scope is empty if ScopedKey
// did not make it.
func SplitKey(unique string) (scope, key string) {
	if scope, key, ok := strings.Cut(unique, scopeEnd); ok {
		return scope, key
	}
	return "", unique
}
