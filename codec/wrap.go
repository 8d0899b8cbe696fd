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
	safe  bool // see Guarded
}

var _ Joiner = (*wrapped)(nil)

// Guarded is an optional capability of a [Codec]: to say that only those make its
// bytes who know a key. Where such a one is given the built in codecs are not
// accepted beside it, else nobody would need the key: see [ByName] and [Default].
// What [Sign] and [Encrypt] make has it, and so does what is made of that; a codec
// of your own that signs or encrypts, or is made of one that does, should have it.
type Guarded interface{ Guarded() bool }

// Guarded implements [Guarded].
func (w *wrapped) Guarded() bool { return w.safe || isGuarded(w.inner) }

func isGuarded(c Codec) bool {
	g, ok := c.(Guarded)
	return ok && g.Guarded()
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
