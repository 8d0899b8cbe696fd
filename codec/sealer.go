package codec

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrForged says that nobody who knows the key has made these bytes; or they were changed; or
// they were made for another place, such as another task.
var ErrForged = errors.New("signature or key does not match")

// Sealer is an optional capability of a [Codec]: that only those make its bytes who
// know a key, and that the bytes are good for one place. What [Sign] and [Encrypt]
// make has it; a codec of your own that signs or encrypts should have it. Where such a
// codec is given, the built in ones are not accepted beside it, else nobody would need
// the key: see [ByName] and [Default].
//
// Arbiters and minions encode with Plain and hand the bytes to Seal, with a text about
// them: whether they are arguments, a result, a failure or an event; of which task,
// by its id and name; in which queue and flow; with which options and metadata. Open
// succeeds with the same text only. So bytes that were sealed for one place are
// [ErrForged] in each other one. The methods of [Codec] itself seal with an empty
// text, which arbiters and minions never accept.
type Sealer interface {
	Codec

	// Plain returns the codec of what is sealed.
	Plain() Codec

	// Seal adds the sealed form of plain, which may be empty, to dst.
	Seal(dst, plain, about []byte) ([]byte, error)

	// Open returns what was sealed with the same about. The error wraps [ErrForged] if
	// nobody has. It may return a part of data.
	Open(data, about []byte) ([]byte, error)

	// Fingerprint returns at least 16 bytes that are always the same for the same plain
	// bytes, and that say nothing of them to anybody without a key. A task that is run
	// again knows by them what it has sent before, and [Hide] makes unique keys of them.
	Fingerprint(plain []byte) []byte
}

func isSealed(c Codec) bool {
	_, ok := c.(Sealer)
	return ok
}

// Check returns what is wrong with a codec that can't be used. Arbiters and minions
// refuse such a codec.
func Check(c Codec) error {
	if c == nil {
		return errors.New("codec: it is nil")
	}
	if bad, ok := c.(interface{ check() error }); ok {
		return bad.check()
	}
	if old, ok := c.(interface{ Sealed() bool }); ok && !isSealed(c) && old.Sealed() {
		return fmt.Errorf("codec %s: it says that it is sealed, and lacks the methods of codec.Sealer, so its bytes would be good anywhere", c.Name())
	}
	return nil
}

// sealed is what Sign and Encrypt make.
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
