package task

import "github.com/go-arbiter/arbiter/broker"

// Unique lets no second call with the key into the queue before the first one
// is done, whatever became of it: a later one gets [ErrDuplicate], and
// [DuplicateError] names the holder. A dead letter is done and holds no key; it
// takes its own again when it is requeued, or stays one if the key is held by then.
// At most 512 bytes. The default, "", is no key.
func Unique(key string) Option {
	return &option{"Unique", onCall, func(s *Settings) {
		if len(key) > broker.MaxUniqueKey {
			s.fail("Unique key of %d bytes, the limit is %d", len(key), broker.MaxUniqueKey)
		}
		s.Unique = key
	}}
}
