package task

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// Unique gives a call a key that at most one unfinished task of its name and queue can have. While
// one has it, another call with the key is refused with a [*DuplicateError], which wraps
// [ErrDuplicate] and whose Holder is the task that has the key. The key is free again when that
// task is done, whatever its outcome. A dead letter has no key. When it is requeued it takes its
// key again; if another task has the key by then, it stays a dead letter.
//
// Keys of different queues are independent, and so are keys of different tasks; see [UniqueIn] for
// tasks that share theirs. A key has at most 512 bytes. The default, "", is no key.
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
		s.Unique, s.Scope = key, scope
	})
}
