package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
)

// Of returns c as a sealer, or nil if it does not seal.
func Of(c codec.Codec) codec.Sealer {
	s, _ := c.(codec.Sealer)
	return s
}

// Plain returns the codec of the bytes that handlers get: the codec inside c if c seals,
// otherwise c.
func Plain(c codec.Codec) codec.Codec {
	if s := Of(c); s != nil {
		return s.Plain()
	}
	return c
}

// First returns the first codec that seals, or nil.
func First(codecs []codec.Codec) codec.Sealer {
	for _, c := range codecs {
		if s := Of(c); s != nil {
			return s
		}
	}
	return nil
}

// AcceptsPlain reports whether records without a seal are accepted: no codec seals, or one of
// them does not.
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

// sealed calls Seal of a codec, which may be a user's and panic.
func sealed(s codec.Sealer, plain []byte, to associatedData) (data []byte, err error) {
	name := s.Name()
	defer guard.Codec(name, "Seal", &err)
	return s.Seal(nil, plain, to)
}

// opened calls Open of a codec, which may be a user's and panic.
func opened(s codec.Sealer, data []byte, to associatedData) (plain []byte, err error) {
	name := s.Name()
	defer guard.Codec(name, "Open", &err)
	return s.Open(data, to)
}

// Task seals the arguments of a task, and its metadata if the codec hides metadata. All fields
// of the task must be set, except those that brokers change.
func Task(s codec.Sealer, t *broker.Task) error {
	payload, err := sealed(s, t.Payload, task(t))
	if err != nil {
		return fmt.Errorf("task %s: %w: arguments: %w", t.Name, broker.ErrInvalid, err)
	}
	t.Payload = payload
	return HideMeta(s, t)
}

// Open returns the arguments and the metadata of a sealed task. It does not change the task.
func Open(s codec.Sealer, t *broker.Task) (args []byte, meta map[string]string, err error) {
	bare := *t
	if bare.Meta, err = Meta(s, t.ID, t.Meta); err != nil {
		return nil, nil, fmt.Errorf("metadata: %w", err)
	}
	args, err = opened(s, t.Payload, task(&bare))
	return args, bare.Meta, err
}

// MetaKey is the key in the metadata of a task under which its hidden metadata is stored.
const MetaKey = "arbiter.sealed"

// HideMeta seals the metadata of a task, if the codec hides metadata.
func HideMeta(s codec.Sealer, t *broker.Task) error {
	if len(t.Meta) == 0 || !codec.Hides(s, codec.Metadata) {
		return nil
	}
	hidden, err := sealed(s, wire.AppendMeta(nil, t.Meta), meta(t.ID))
	if err != nil {
		return fmt.Errorf("task %s: %w: metadata: %w", t.Name, broker.ErrInvalid, err)
	}
	t.Meta = map[string]string{MetaKey: string(hidden)}
	return nil
}

// Meta returns metadata as it was sent. s may be nil: then hidden metadata is returned as it is
// stored.
func Meta(s codec.Sealer, id broker.ID, stored map[string]string) (map[string]string, error) {
	hidden, ok := stored[MetaKey]
	if s == nil || !ok {
		return stored, nil
	}
	plain, err := opened(s, []byte(hidden), meta(id))
	if err != nil {
		return nil, err
	}
	return wire.ParseMeta(plain)
}

// Unique returns a unique key as it is stored. If the codec hides unique keys, that is a keyed
// hash of the key and its scope, so that equal keys stay equal.
func Unique(s codec.Sealer, unique string) string {
	if s == nil || unique == "" || !codec.Hides(s, codec.UniqueKeys) {
		return unique
	}
	scope, _ := broker.SplitKey(unique)
	return broker.ScopedKey(scope, hex.EncodeToString(s.Fingerprint([]byte(direction("unique").text(unique)))))
}

// ArgsKey returns the unique key that arguments give to a task of that name; values is what
// [codec.AppendParams] makes of them. If the codec seals it is a keyed hash, so that nobody
// without the key can try values out. Else it is the SHA-256 of the values, cut to 16 bytes.
func ArgsKey(s codec.Sealer, name string, values []byte) string {
	text := direction("unique arguments").text(name).text(string(values))
	if s != nil {
		hash := s.Fingerprint(text)
		return "args:" + hex.EncodeToString(hash[:min(len(hash), sha256.Size)])
	}
	sum := sha256.Sum256(text)
	return "args:" + hex.EncodeToString(sum[:16])
}

// Event seals an event for the topic name.
func Event(s codec.Sealer, name string, plain []byte) ([]byte, error) {
	return sealed(s, plain, topic(name))
}

// OpenEvent opens an event of the topic name.
func OpenEvent(s codec.Sealer, name string, data []byte) ([]byte, error) {
	return opened(s, data, topic(name))
}

// Reason seals the reason why a step starts without the result that it waits for.
func Reason(s codec.Sealer, id broker.ID, text string) (string, error) {
	data, err := sealed(s, []byte(text), why(id))
	return string(data), err
}

// OpenReason opens a reason. It returns an empty string if the seal is wrong.
func OpenReason(s codec.Sealer, id broker.ID, data string) string {
	text, err := opened(s, []byte(data), why(id))
	if err != nil {
		return ""
	}
	return string(text)
}

// errNoSeal returns the error for a record without a seal.
func errNoSeal(what string) error {
	return fmt.Errorf("%w: %s carries no seal", codec.ErrForged, what)
}

var errNotSealer = errors.New("the codec does not seal")
