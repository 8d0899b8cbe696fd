package task

import "github.com/go-arbiter/arbiter/broker"

// Unique lets no second call of the task with the key into the queue before the
// first one is done, whatever became of it. Sending a later one fails with a
// [*DuplicateError], which wraps [ErrDuplicate] and whose Holder is the first one.
// The same key in another queue, or of another task, is another key; see [UniqueIn]
// for tasks that share theirs. A dead letter is done and holds no key. When it is
// requeued it takes its key again, or stays a dead letter if the key is held by then.
// A key has at most 512 bytes. The default, "", is no key.
func Unique(key string) Option { return unique("Unique", "", key) }

// UniqueIn is [Unique] for tasks that share their keys: all calls that name the scope,
// in one queue. A scope is 1 to 128 of A-Z a-z 0-9 _ . and -. That of Unique is the
// name of the task, so UniqueIn(SendTask.Name(), key) shares the keys of SendTask.
func UniqueIn(scope, key string) Option { return unique("UniqueIn", scope, key) }

func unique(name, scope, key string) Option {
	return &option{name, onCall, func(s *Settings) {
		if len(key) > broker.MaxUniqueKey {
			s.fail("%s: a key of %d bytes, the limit is %d", name, len(key), broker.MaxUniqueKey)
		}
		if name == "UniqueIn" {
			if err := broker.CheckName("scope", scope); err != nil {
				s.fail("%s: %v", name, err)
			}
		}
		s.Unique, s.Scope = key, scope
	}}
}
