package codec

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

const (
	// compressFrom is the length from which Compress tries to compress. Shorter bytes would not become shorter.
	compressFrom = 512

	// MaxDecompressed is how many bytes a message of [Compress] may have when it is decompressed.
	MaxDecompressed = 64 << 20

	// MaxExpansion is how many times longer a message of [Compress] may become when it is decompressed, if it becomes longer
	// than 1 MiB. So a receiver's memory is in proportion to the data that was sent. Useful data is seldom compressed to less
	// than a fiftieth.
	MaxExpansion  = 100
	freeExpansion = 1 << 20
)

// The first byte of a message of Compress.
const (
	asIs    = 0 // the rest is not compressed
	gzipped = 1 // the rest is compressed
)

// Compress returns a codec that compresses the bytes of c with gzip, if that makes them shorter. The codec's name is the name of
// c with +gzip.
//
// When a message is decompressed, it may have at most [MaxDecompressed] bytes; and if it has more than 1 MiB, at most
// [MaxExpansion] times the compressed length. A longer message is [ErrTooLong]. Compress does not compress bytes that it would
// not decompress.
//
// Compress first, and Sign or Encrypt around it. A codec that signs or encrypts can't be compressed, since its bytes would be
// decompressed before their seal is checked. Every method of such a codec returns an error, and arbiters and minions refuse
// it: see [Check].
func Compress(c Codec) Codec { return &compressed{inner: c} }

// mayBecome returns how long n compressed bytes may be when they are decompressed. It is generic so that a test can run it with
// 32 bits on every machine.
func mayBecome[Int int | int32](n Int) Int {
	if n > MaxDecompressed/MaxExpansion { // the product may overflow
		return MaxDecompressed
	}
	return max(freeExpansion, n*MaxExpansion)
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

func deflate(dst, plain []byte) ([]byte, error) {
	if len(plain) >= compressFrom {
		var buf bytes.Buffer
		w := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(w)
		w.Reset(&buf)
		if _, err := w.Write(plain); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		if buf.Len() < len(plain) && len(plain) <= mayBecome(buf.Len()) {
			return append(append(dst, gzipped), buf.Bytes()...), nil
		}
	}
	return append(append(dst, asIs), plain...), nil
}

func inflate(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, rules.Because(ErrTruncated, "there are no bytes")
	}
	switch data[0] {
	case asIs:
		return data[1:], nil
	case gzipped:
	default:
		return nil, rules.Because(ErrSyntax, "unknown compression %d", data[0])
	}
	r, err := gzip.NewReader(bytes.NewReader(data[1:]))
	if err != nil {
		return nil, rules.Because(ErrSyntax, "%v", err)
	}
	limit := mayBecome(len(data) - 1)
	plain, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, rules.Because(ErrSyntax, "%v", err)
	case len(plain) > limit:
		return nil, rules.Because(ErrTooLong, "%d bytes are more than %d when decompressed", len(data), limit)
	}
	return plain, nil
}
