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
)

// The first byte of what Compress makes.
const (
	asIs    = 0
	gzipped = 1
)

// Compress returns a codec that compresses what c makes, with gzip, where that
// makes it shorter. Its name is that of c with +gzip. What is longer than
// [MaxDecompressed] when decompressed is [ErrTooLong].
func Compress(c Codec) Codec {
	return &wrapped{inner: c, name: c.Name() + "+gzip", seal: deflate, open: inflate}
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
		if buf.Len() < len(plain) {
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
	plain, err := io.ReadAll(io.LimitReader(r, MaxDecompressed+1))
	switch {
	case err != nil:
		return nil, because(ErrSyntax, "%v", err)
	case len(plain) > MaxDecompressed:
		return nil, because(ErrTooLong, "more than %d bytes when decompressed", MaxDecompressed)
	}
	return plain, nil
}
