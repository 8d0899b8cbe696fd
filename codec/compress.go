package codec

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"
)

const (
	// compressFrom is from how many bytes on compression is tried: shorter ones
	// gain nothing.
	compressFrom = 512

	// MaxDecompressed is how long bytes may be when decompressed, so that few
	// of them can't fill the memory.
	MaxDecompressed = 64 << 20

	// MaxExpansion is how many times longer they may become, beyond the first
	// freeExpansion bytes: what a receiver allocates is in proportion to what it was
	// sent. Data that is worth sending is seldom compressed more than 50 times.
	MaxExpansion  = 100
	freeExpansion = 1 << 20
)

// The first byte of what Compress makes.
const (
	asIs    = 0
	gzipped = 1
)

// Compress returns a codec that compresses what c makes, with gzip, where that
// makes it shorter. Its name is that of c with +gzip. What is longer than
// [MaxDecompressed] when decompressed, or more than 1 MiB and [MaxExpansion] times as
// long, is [ErrTooLong]: Compress does not compress what it would not decompress.
//
// Compress comes first, and Sign or Encrypt around it. A codec that signs or encrypts
// can't be compressed: its bytes would be decompressed before their seal is looked at.
// Every method of such a codec returns an error that says so, and arbiters and minions
// refuse it: see [Check].
func Compress(c Codec) Codec { return &compressed{inner: c} }

// mayBecome returns how long n bytes may be when decompressed.
func mayBecome(n int) int { return min(MaxDecompressed, max(freeExpansion, n*MaxExpansion)) }

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
		return nil, because(ErrTruncated, "no bytes")
	}
	switch data[0] {
	case asIs:
		return data[1:], nil
	case gzipped:
	default:
		return nil, because(ErrSyntax, "compression %d is unknown", data[0])
	}
	r, err := gzip.NewReader(bytes.NewReader(data[1:]))
	if err != nil {
		return nil, because(ErrSyntax, "%v", err)
	}
	limit := mayBecome(len(data) - 1)
	plain, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, because(ErrSyntax, "%v", err)
	case len(plain) > limit:
		return nil, because(ErrTooLong, "%d bytes become more than %d when decompressed", len(data), limit)
	}
	return plain, nil
}
