package codec

import (
	"errors"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// ErrTooLong says that bytes of [Compress] exceed the limit when they are decompressed.
var ErrTooLong = errors.New("too long when decompressed")

// compressed is the codec that Compress returns.
type compressed struct{ inner Codec }

var _ Combiner = (*compressed)(nil)

// Name implements [Codec].
func (w *compressed) Name() string { return w.inner.Name() + "+gzip" }

func (w *compressed) check() error {
	if isSealed(w.inner) {
		return rules.Because(ErrUnsupported, "codec %s: Compress is around a codec that signs or encrypts, so bytes would be decompressed "+
			"before their seal is checked; compress first: Sign(Compress(c), key)", w.Name())
	}
	return Check(w.inner)
}

// deflated appends the compressed form of plain, unless err, the error of the inner codec, is not nil.
func (w *compressed) deflated(dst, plain []byte, err error) ([]byte, error) {
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return dst, err
	}
	out, err := deflate(dst, plain)
	if err != nil {
		return dst, &Error{Codec: w.Name(), Err: err}
	}
	return out, nil
}

func (w *compressed) inflated(data []byte) ([]byte, error) {
	err := w.check()
	if err != nil {
		return nil, err
	}
	plain, err := inflate(data)
	if err != nil {
		return nil, &Error{Codec: w.Name(), Err: err}
	}
	return plain, nil
}

// AppendValue implements [Codec].
func (w *compressed) AppendValue(dst []byte, v any) ([]byte, error) {
	plain, err := w.inner.AppendValue(nil, v)
	return w.deflated(dst, plain, err)
}

// DecodeValue implements [Codec].
func (w *compressed) DecodeValue(data []byte, v any) error {
	plain, err := w.inflated(data)
	if err != nil {
		return err
	}
	return w.inner.DecodeValue(plain, v)
}

// AppendArgs implements [Codec].
func (w *compressed) AppendArgs(dst []byte, args any) ([]byte, error) {
	plain, err := w.inner.AppendArgs(nil, args)
	return w.deflated(dst, plain, err)
}

// DecodeArgs implements [Codec].
func (w *compressed) DecodeArgs(data []byte, args any) error {
	plain, err := w.inflated(data)
	if err != nil {
		return err
	}
	return w.inner.DecodeArgs(plain, args)
}

// AppendArray implements [Combiner] if the inner codec does.
func (w *compressed) AppendArray(dst []byte, values [][]byte) ([]byte, error) {
	j, ok := w.inner.(Combiner)
	if !ok {
		return dst, w.cannotCombine()
	}
	plain := make([][]byte, len(values))
	total := 0
	for i, v := range values {
		if v == nil {
			continue
		}
		var err error
		if plain[i], err = w.inflated(v); err != nil {
			return dst, err
		}
		if total += len(plain[i]); total > MaxDecompressed {
			return dst, &Error{Codec: w.Name(), Err: rules.Because(ErrTooLong, "%d values are together more than %d bytes when decompressed", len(values), MaxDecompressed)}
		}
	}
	all, err := j.AppendArray(nil, plain)
	return w.deflated(dst, all, err)
}

// AppendArg implements [Combiner] if the inner codec does.
func (w *compressed) AppendArg(dst, args []byte, name string, value []byte) ([]byte, error) {
	j, ok := w.inner.(Combiner)
	if !ok {
		return dst, w.cannotCombine()
	}
	plainArgs, err := w.inflated(args)
	if err != nil {
		return dst, err
	}
	plainValue, err := w.inflated(value)
	if err != nil {
		return dst, err
	}
	all, err := j.AppendArg(nil, plainArgs, name, plainValue)
	return w.deflated(dst, all, err)
}

func (w *compressed) cannotCombine() error {
	return &Error{Codec: w.Name(), Err: rules.Because(ErrUnsupported, "codec %s can't combine encoded values: it is not a codec.Combiner", w.inner.Name())}
}
