package codec

import "errors"

// What can be wrong with bytes that [Compress], [Sign] or [Encrypt] have to open.
var (
	// ErrTooLong: the bytes are more than MaxDecompressed when decompressed.
	ErrTooLong = errors.New("too long when decompressed")
	// ErrForged: nobody who knows the key has made these bytes, or they were
	// changed.
	ErrForged = errors.New("signature or key does not match")
)

// wrapped is a codec whose bytes are changed on their way out and in.
type wrapped struct {
	inner Codec
	name  string
	seal  func(dst, plain []byte) ([]byte, error)
	open  func(data []byte) ([]byte, error)
	safe  bool                      // nobody can seal without a key
	hide  func(print []byte) []byte // makes a fingerprint unreadable; nil if all can be read anyway
}

var (
	_ Joiner = (*wrapped)(nil)
	_ Sealer = (*wrapped)(nil)
)

// Sealer is an optional capability of a [Codec]: that only those make its bytes who
// know a key. What [Sign] and [Encrypt] make has it, and what [Compress] makes of
// that; a codec of your own that signs or encrypts should have it.
type Sealer interface {
	// Sealed reports whether it is so. Where such a codec is given the built in
	// ones are not accepted beside it, else nobody would need the key: see
	// [ByName] and [Default].
	Sealed() bool

	// Fingerprint returns bytes that are always the same for what was sealed from
	// the same, though the sealed bytes may not be. They say nothing of it to
	// who has no key, unless the sealed bytes do so themselves. A task that is
	// run again knows by them what it has sent before.
	Fingerprint(sealed []byte) ([]byte, error)
}

func isSealed(c Codec) bool {
	s, ok := c.(Sealer)
	return ok && s.Sealed()
}

// Sealed implements [Sealer].
func (w *wrapped) Sealed() bool { return w.safe || isSealed(w.inner) }

// Fingerprint implements [Sealer].
func (w *wrapped) Fingerprint(sealed []byte) ([]byte, error) {
	print, err := w.opened(sealed)
	if err != nil {
		return nil, err
	}
	if isSealed(w.inner) {
		if print, err = w.inner.(Sealer).Fingerprint(print); err != nil {
			return nil, err
		}
	}
	if w.hide != nil {
		print = w.hide(print)
	}
	return print, nil
}

// Name implements [Codec].
func (w *wrapped) Name() string { return w.name }

// sealed adds the sealed form of what the inner codec makes.
func (w *wrapped) sealed(dst, plain []byte, err error) ([]byte, error) {
	if err != nil {
		return dst, err
	}
	out, err := w.seal(dst, plain)
	if err != nil {
		return dst, &Error{Codec: w.name, Err: err}
	}
	return out, nil
}

func (w *wrapped) opened(data []byte) ([]byte, error) {
	plain, err := w.open(data)
	if err != nil {
		return nil, &Error{Codec: w.name, Err: err}
	}
	return plain, nil
}

// AppendValue implements [Codec].
func (w *wrapped) AppendValue(dst []byte, v any) ([]byte, error) {
	plain, err := w.inner.AppendValue(nil, v)
	return w.sealed(dst, plain, err)
}

// DecodeValue implements [Codec].
func (w *wrapped) DecodeValue(data []byte, v any) error {
	plain, err := w.opened(data)
	if err != nil {
		return err
	}
	return w.inner.DecodeValue(plain, v)
}

// AppendArgs implements [Codec].
func (w *wrapped) AppendArgs(dst []byte, args any) ([]byte, error) {
	plain, err := w.inner.AppendArgs(nil, args)
	return w.sealed(dst, plain, err)
}

// DecodeArgs implements [Codec].
func (w *wrapped) DecodeArgs(data []byte, args any) error {
	plain, err := w.opened(data)
	if err != nil {
		return err
	}
	return w.inner.DecodeArgs(plain, args)
}

// AppendJoined implements [Joiner], if the inner codec does.
func (w *wrapped) AppendJoined(dst []byte, values [][]byte) ([]byte, error) {
	j, ok := w.inner.(Joiner)
	if !ok {
		return dst, w.cannotJoin()
	}
	plain := make([][]byte, len(values))
	for i, v := range values {
		if v == nil {
			continue
		}
		var err error
		if plain[i], err = w.opened(v); err != nil {
			return dst, err
		}
	}
	all, err := j.AppendJoined(nil, plain)
	return w.sealed(dst, all, err)
}

// AppendArg implements [Joiner], if the inner codec does.
func (w *wrapped) AppendArg(dst, args []byte, name string, value []byte) ([]byte, error) {
	j, ok := w.inner.(Joiner)
	if !ok {
		return dst, w.cannotJoin()
	}
	plainArgs, err := w.opened(args)
	if err != nil {
		return dst, err
	}
	plainValue, err := w.opened(value)
	if err != nil {
		return dst, err
	}
	all, err := j.AppendArg(nil, plainArgs, name, plainValue)
	return w.sealed(dst, all, err)
}

func (w *wrapped) cannotJoin() error {
	return &Error{Codec: w.name, Err: because(ErrUnsupported, "codec %s can't put values together", w.inner.Name())}
}
