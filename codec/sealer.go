package codec

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrForged says that sealed bytes are not authentic: they were made without a known key, they were changed, or
// they were made for something else, such as another task.
var ErrForged = errors.New("signature or key does not match")

// Sealer is an optional capability of a [Codec]: only a process with the key can make its bytes, and the bytes are
// valid only for one purpose. The codecs of [Sign] and [Encrypt] have it. A codec of your own that signs or encrypts
// should have it, too. If an arbiter or minion has such a codec, the built-in codecs are not accepted, since anybody
// could use them: see [ByName] and [Default].
//
// Arbiters and minions encode a value with Plain and pass the bytes to Seal, with a text that describes them: whether
// they are arguments, a result, a failure or an event; the task's id and name; its queue; its group or pipe; its options
// and metadata. Open succeeds only with the same text. Bytes that were copied to another task or queue, or from arguments
// to a result, are therefore [ErrForged]. The methods of [Codec] itself seal with an empty text, which arbiters and
// minions never accept.
type Sealer interface {
	Codec

	// Plain returns the codec that encodes the values before they are sealed.
	Plain() Codec

	// Seal appends the sealed form of plain, which may be empty, to dst.
	Seal(dst, plain, about []byte) ([]byte, error)

	// Open returns the bytes that were sealed with the same about. The error wraps [ErrForged] if
	// there was no such Seal. The returned slice may share memory with data.
	Open(data, about []byte) ([]byte, error)

	// Fingerprint returns at least 16 bytes that depend only on plain and a key, and tell nothing
	// about plain to anybody without this key. A minion derives the ids of tasks that a handler
	// sends from fingerprints of their arguments, so a repeated attempt finds the tasks that were
	// sent before. [Hide] stores the fingerprint of a unique key in its place. The codecs of [Sign]
	// and [Encrypt] make fingerprints with the first of their keys, or with the key of
	// [FingerprintWith]. If processes make them with different keys, a repeated attempt may send
	// its tasks a second time, and a unique key may have two holders.
	Fingerprint(plain []byte) []byte
}

func isSealed(c Codec) bool {
	_, ok := c.(Sealer)
	return ok
}

// Check returns an error if the codec can't be used: it is nil, or its parts do not fit together. Arbiters and minions
// refuse such a codec.
func Check(c Codec) error {
	if c == nil {
		return errors.New("codec: it is nil")
	}
	if bad, ok := c.(interface{ check() error }); ok {
		return bad.check()
	}
	if old, ok := c.(interface{ Sealed() bool }); ok && !isSealed(c) && old.Sealed() {
		return fmt.Errorf("codec %s: its method Sealed returns true, but it lacks the methods of codec.Sealer, so its bytes could be copied to other tasks", c.Name())
	}
	return nil
}

// sealed is the codec that Sign and Encrypt return.
type sealed struct {
	name     string
	inner    Codec
	printKey []byte
	secret   bool // the bytes can't be read without the key
	seal     func(dst, plain, about []byte) []byte
	open     func(data, about []byte) ([]byte, error)
}

var _ Sealer = (*sealed)(nil)

// Name implements [Codec].
func (s *sealed) Name() string { return s.name }

// Plain implements [Sealer].
func (s *sealed) Plain() Codec {
	if inner, ok := s.inner.(Sealer); ok {
		return inner.Plain()
	}
	return s.inner
}

// Seal implements [Sealer].
func (s *sealed) Seal(dst, plain, about []byte) ([]byte, error) {
	if inner, ok := s.inner.(Sealer); ok {
		var err error
		if plain, err = inner.Seal(nil, plain, about); err != nil {
			return dst, err
		}
	}
	return s.seal(dst, plain, about), nil
}

// Open implements [Sealer].
func (s *sealed) Open(data, about []byte) ([]byte, error) {
	plain, err := s.open(data, about)
	if err != nil {
		return nil, &Error{Codec: s.name, Err: err}
	}
	if inner, ok := s.inner.(Sealer); ok {
		return inner.Open(plain, about)
	}
	return plain, nil
}

// Fingerprint implements [Sealer].
func (s *sealed) Fingerprint(plain []byte) []byte {
	h := hmac.New(sha256.New, s.printKey)
	h.Write(plain)
	return h.Sum(nil)
}

// AppendValue implements [Codec].
func (s *sealed) AppendValue(dst []byte, v any) ([]byte, error) {
	plain, err := s.Plain().AppendValue(nil, v)
	if err != nil {
		return dst, err
	}
	return s.Seal(dst, plain, nil)
}

// DecodeValue implements [Codec].
func (s *sealed) DecodeValue(data []byte, v any) error {
	plain, err := s.Open(data, nil)
	if err != nil {
		return err
	}
	return s.Plain().DecodeValue(plain, v)
}

// AppendArgs implements [Codec].
func (s *sealed) AppendArgs(dst []byte, args any) ([]byte, error) {
	plain, err := s.Plain().AppendArgs(nil, args)
	if err != nil {
		return dst, err
	}
	return s.Seal(dst, plain, nil)
}

// DecodeArgs implements [Codec].
func (s *sealed) DecodeArgs(data []byte, args any) error {
	plain, err := s.Open(data, nil)
	if err != nil {
		return err
	}
	return s.Plain().DecodeArgs(plain, args)
}
