package task

import "github.com/go-arbiter/arbiter/broker"

// Unique lets no second call of the task with the key into the queue before the
// first one is done, whatever became of it: a later one gets [ErrDuplicate], and
// [DuplicateError] names the holder. Other tasks have keys of their own: see
// [UniqueIn]. A dead letter is done and holds no key; it takes its own again when
// it is requeued, or stays one if the key is held by then. At most 512 bytes. The
// default, "", is no key.
func Unique(key string) Option { return unique("Unique", "", key) }

// UniqueIn is [Unique] for tasks that share their keys: all that name the scope,
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
