package seal

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/guard"
)

// Of returns the codec as one that seals, nil if it does not.
func Of(c codec.Codec) codec.Sealer {
	s, _ := c.(codec.Sealer)
	return s
}

// Plain returns the codec of the bytes that are handed to handlers: c, or what it seals.
func Plain(c codec.Codec) codec.Codec {
	if s := Of(c); s != nil {
		return s.Plain()
	}
	return c
}

// First returns the first codec that seals, nil if there is none.
func First(codecs []codec.Codec) codec.Sealer {
	for _, c := range codecs {
		if s := Of(c); s != nil {
			return s
		}
	}
	return nil
}

// AcceptsPlain reports whether something without a seal is accepted by who has the
// codecs: none of them seals, or one that does not is named beside.
func AcceptsPlain(codecs []codec.Codec) bool {
	seals := false
	for _, c := range codecs {
		if c == nil {
			continue
		}
		if Of(c) == nil {
			return true
		}
		seals = true
	}
	return !seals
}

// sealed calls Seal of a codec that may be a user's.
func sealed(s codec.Sealer, plain []byte, to about) (data []byte, err error) {
	name := s.Name()
	defer guard.Codec(name, "Seal", &err)
	return s.Seal(nil, plain, to)
}

// opened calls Open of a codec that may be a user's.
func opened(s codec.Sealer, data []byte, to about) (plain []byte, err error) {
	name := s.Name()
	defer guard.Codec(name, "Open", &err)
	return s.Open(data, to)
}

// Task seals the arguments of a task, which is complete but for what brokers edit, and its
// metadata if that is hidden.
func Task(s codec.Sealer, t *broker.Task) error {
	payload, err := sealed(s, t.Payload, task(t))
	if err != nil {
		return fmt.Errorf("task %s: %w: arguments: %w", t.Name, broker.ErrInvalid, err)
	}
	t.Payload = payload
	return HideMeta(s, t)
}

// Open returns the arguments of a task, not sealed, and its metadata. The task stays as
// it is.
func Open(s codec.Sealer, t *broker.Task) (args []byte, meta map[string]string, err error) {
	bare := *t
	if bare.Meta, err = Meta(s, t.ID, t.Meta); err != nil {
		return nil, nil, fmt.Errorf("metadata: %w", err)
	}
	args, err = opened(s, t.Payload, task(&bare))
	return args, bare.Meta, err
}

// MetaKey is under which hidden metadata is.
const MetaKey = "arbiter.sealed"

// HideMeta seals the metadata of a task, if the codec says that it shall be.
func HideMeta(s codec.Sealer, t *broker.Task) error {
	if len(t.Meta) == 0 || !codec.Hides(s, codec.Metadata) {
		return nil
	}
	hidden, err := sealed(s, broker.AppendMeta(nil, t.Meta), meta(t.ID))
	if err != nil {
		return fmt.Errorf("task %s: %w: metadata: %w", t.Name, broker.ErrInvalid, err)
	}
	t.Meta = map[string]string{MetaKey: string(hidden)}
	return nil
}

// Meta returns metadata as the task was sent with.
func Meta(s codec.Sealer, id broker.ID, stored map[string]string) (map[string]string, error) {
	hidden, ok := stored[MetaKey]
	if s == nil || !ok {
		return stored, nil
	}
	plain, err := opened(s, []byte(hidden), meta(id))
	if err != nil {
		return nil, err
	}
	return broker.ParseMeta(plain)
}

// Unique returns a unique key as it is stored: a keyed hash of it, if the codec says that
// it shall be hidden. Equal keys stay equal. The scope is in the hash.
func Unique(s codec.Sealer, unique string) string {
	if s == nil || unique == "" || !codec.Hides(s, codec.UniqueKeys) {
		return unique
	}
	scope, _ := broker.SplitKey(unique)
	return broker.ScopedKey(scope, fmt.Sprintf("%x", s.Fingerprint([]byte(direction("unique").text(unique)))))
}

// Event returns an event, sealed for its topic.
func Event(s codec.Sealer, name string, plain []byte) ([]byte, error) {
	return sealed(s, plain, topic(name))
}

// OpenEvent returns what Event has sealed.
func OpenEvent(s codec.Sealer, name string, data []byte) ([]byte, error) {
	return opened(s, data, topic(name))
}

// Reason seals why a step starts without the result that it waits for.
func Reason(s codec.Sealer, id broker.ID, text string) (string, error) {
	data, err := sealed(s, []byte(text), why(id))
	return string(data), err
}

// OpenReason returns what Reason has sealed; empty if nobody with a key has.
func OpenReason(s codec.Sealer, id broker.ID, data string) string {
	text, err := opened(s, []byte(data), why(id))
	if err != nil {
		return ""
	}
	return string(text)
}

// errNoSeal says that a record lacks one.
func errNoSeal(what string) error {
	return fmt.Errorf("%w: %s carries no seal", codec.ErrForged, what)
}

var errNotSealer = errors.New("the codec does not seal")
