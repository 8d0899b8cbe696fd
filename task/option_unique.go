package task

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// Unique gives a call a key that at most one unfinished task of its name and queue can have. While
// one has it, another call with the key is refused with a [*DuplicateError], which wraps
// [ErrDuplicate] and whose Holder is the task that has the key. The key is free again when that
// task is done, whatever its outcome. A dead letter has no key. When it is requeued it takes its
// key again; if another task has the key by then, it stays a dead letter.
//
// [UniqueFor] and [UniqueUntilStart] change how long a key is held, and [OnConflict] changes what
// becomes of the other call. [UniqueArgs] makes a key of the arguments.
//
// Keys of different queues are independent, and so are keys of different tasks; see [UniqueIn] for
// tasks that share theirs. A key has at most 512 bytes. The default, "", is no key, and removes
// the other options of a key as well.
func Unique(key string) Option { return unique("Unique", "", key) }

// UniqueIn is [Unique] for tasks that share their keys: all calls in one queue that name the same
// scope. A scope is 1 to 128 of A-Z a-z 0-9 _ . and -. The scope of Unique is the name of the
// task, so UniqueIn(SendTask.Name(), key) shares the keys of SendTask.
func UniqueIn(scope, key string) Option { return unique("UniqueIn", scope, key) }

func unique(name, scope, key string) Option {
	return newOption(name, onCall, func(s *request.Settings) {
		if len(key) > broker.MaxUniqueKey {
			fail(s, "%s: a key of %d bytes, the limit is %d", name, len(key), broker.MaxUniqueKey)
		}
		if name == "UniqueIn" {
			if err := broker.CheckName("scope", scope); err != nil {
				fail(s, "%s: %v", name, err)
			}
		}
		if key == "" {
			s.Unique = request.Unique{}
			return
		}
		s.Unique.Key, s.Unique.Scope, s.Unique.ByArgs, s.Unique.Params = key, scope, false, nil
	})
}

// UniqueArgs is [Unique] with a key that is made of the call's arguments: of the parameters with
// these names, or of all if no name is given. Two calls have the same key if these arguments have
// equal values, whatever codec they are sent with. The names are those of the function's
// parameters, as in tags of package codec. docs/wire.md has the form of the key.
//
// Sending reports a name that is not a parameter, and names for arguments that are given by
// position, as in arbiter.Args. The arguments of a step lack the result of the step before, so it
// is not a part of the key. An optional argument that a call by name leaves out is not a part of
// its key either.
func UniqueArgs(params ...string) Option {
	params = slices.Clone(params)
	return newOption("UniqueArgs", onCall, func(s *request.Settings) {
		s.Unique.Key, s.Unique.Scope, s.Unique.ByArgs, s.Unique.Params = "", "", true, params
	})
}

// UniqueFor holds the unique key of a call for d at least, from the moment at which the broker
// stores the call: the key's window. It is held also after the task is done, and whatever the
// outcome is. So at most one task with the key is accepted within d. A task that takes longer
// than d keeps its key until it is done, or with [UniqueUntilStart] until it starts. The window
// ends by itself; an arbiter's FreeKey ends it earlier. It is more than 0 and at most ten years.
// The default is no window, see [UniqueUntilDone].
func UniqueFor(d time.Duration) Option {
	return newOption("UniqueFor", onCall, func(s *request.Settings) {
		if d <= 0 || d > broker.MaxDuration {
			fail(s, "UniqueFor(%v), want more than 0 and at most %v; UniqueUntilDone removes it", d, broker.MaxDuration)
		}
		s.Unique.For = d
	})
}

// UniqueUntilStart frees the unique key of a call when its task starts for the first time, just
// before its handler runs. So at most one task with the key waits, and a call that is sent while
// the handler runs leads to another run. The default is [UniqueUntilDone].
//
// A retry does not take the key again. The minion asks the broker at the start of such a task,
// which takes a round trip.
func UniqueUntilStart() Option {
	return newOption("UniqueUntilStart", onCall, func(s *request.Settings) { s.Unique.UntilStart = true })
}

// UniqueUntilDone removes [UniqueFor] and [UniqueUntilStart]: the unique key of a call is held
// until its task is done. It is the default.
func UniqueUntilDone() Option {
	return newOption("UniqueUntilDone", onCall, func(s *request.Settings) { s.Unique.For, s.Unique.UntilStart = 0, false })
}

// Conflict is what becomes of a call whose unique key another task has: the holder. See
// [OnConflict].
type Conflict = request.Conflict

// The conflicts.
const (
	// ConflictRefuse refuses the call with a [*DuplicateError]. It is the default.
	ConflictRefuse = request.ConflictRefuse

	// ConflictJoin gives the caller the future of the holder in place of one of its own: the
	// call is not stored. [Call.Send] and its shorthands, [SendAll] and an arbiter's Apply join.
	// A holder that has another name can't be joined, since its result may have another type;
	// then the call is refused. A call in a group or pipe can't join.
	ConflictJoin = request.ConflictJoin

	// ConflictReplace puts the call in the place of a holder that waits: scheduled, blocked,
	// pending, retrying or parked, and with [UniqueUntilStart] as long as it has not started.
	// The holder is canceled, and whoever waits for it gets a [*ReplacedError]. A call with a
	// delay waits for its own delay, so together with [Delay] a series of calls runs once, when
	// it is over; [ConflictMaxAge] bounds how long that can take. If the holder runs, the call is
	// refused.
	ConflictReplace = request.ConflictReplace

	// ConflictLatest is like ConflictReplace while the holder waits. If the holder runs, the call
	// waits behind it, and runs when the holder is done, with its retries. One call waits at
	// most: a later one replaces it. So after a series of calls the last one runs, and it begins
	// after the last one was sent. The windows of [UniqueFor] are kept: a call waits until the
	// window of the task before is over. A call in a group or pipe can't have ConflictLatest.
	ConflictLatest = request.ConflictLatest

	// ConflictCancel is like ConflictLatest, and cancels a holder that runs: the context of its attempt ends
	// with [ErrCanceled], as after a kill, and there is no other attempt. The call runs when the holder has
	// returned, so two of them never run at once. Use it for work that a newer call makes useless.
	ConflictCancel = request.ConflictCancel
)

// OnConflict chooses what becomes of a call whose unique key another task has. The default is
// [ConflictRefuse]. The broker decides in the same step in which it stores the call.
func OnConflict(c Conflict) Option {
	return newOption("OnConflict", onCall, func(s *request.Settings) {
		if c > ConflictJoin {
			fail(s, "OnConflict(%d), want one of the constants of Conflict", c)
		}
		s.Unique.OnConflict = c
	})
}

// ConflictMaxAge bounds the age of a holder that [ConflictReplace], [ConflictLatest] and
// [ConflictCancel] replace or cancel. A holder that is older stays, and runs: with ConflictReplace the call is refused,
// with the others it waits behind the holder. The age of a task that has replaced another one
// counts from the first one of the series, so no series can put the start off for ever. The
// default, 0, is no limit. It is an error without one of these conflicts.
func ConflictMaxAge(d time.Duration) Option {
	return newOption("ConflictMaxAge", onCall, func(s *request.Settings) {
		checkDuration(s, "ConflictMaxAge", d, 0)
		s.Unique.MaxAge = d
	})
}
