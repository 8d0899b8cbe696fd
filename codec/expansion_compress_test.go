package codec_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// gzipped returns a message in the form of Compress that Compress itself may not write: a msgpack string of n bytes, of which
// about one in ratio can't be compressed.
func gzipped(t *testing.T, n, ratio int) []byte {
	t.Helper()
	plain := append([]byte{0xdb, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
	_, _ = rand.Read(plain[5 : 5+n/ratio])
	buf := bytes.NewBuffer([]byte{1})
	w := gzip.NewWriter(buf)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A message that becomes longer than 1 MiB may become MaxExpansion times as long, up to MaxDecompressed, and the memory that is
// allocated is in proportion to that. If Compress is inside a codec that seals, unsealed bytes are never decompressed. The other
// order decompresses nothing at all.
func TestCompressedExpansion(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	plain := codec.Compress(codec.Msgpack())
	signed := must(t)(codec.Sign(plain, key))
	sealed := must(t)(codec.Encrypt(plain, key))
	for _, c := range []struct {
		n, ratio int
		want     error
	}{
		{1 << 20, 1 << 20, codec.ErrTooLong}, // with its head it is a little longer than 1 MiB
		{1<<20 - 100, 1 << 20, nil},
		{2 << 20, 50, nil},
		{2 << 20, 150, codec.ErrTooLong},
		{8 << 20, 50, nil},
		{8 << 20, 150, codec.ErrTooLong},
		{64<<20 - 100, 50, nil},
		{64 << 20, 50, codec.ErrTooLong},
		{65 << 20, 50, codec.ErrTooLong},
	} {
		if c.n > 20<<20 && !testform.Long() {
			continue // it takes seconds to compress
		}
		data := gzipped(t, c.n, c.ratio)
		var err error
		var s string
		took := allocated(func() { s, err = "", nil; err = plain.DecodeValue(data, &s) })
		if !errors.Is(err, c.want) || err == nil && len(s) != c.n {
			t.Errorf("%d bytes that become %d: %d bytes decoded, error %v, want %v", len(data), c.n, len(s), err, c.want)
		}
		// Reading doubles the size of its buffer, and the string is a copy.
		if most := uint64(16<<20 + 6*min(codec.MaxDecompressed, max(1<<20, codec.MaxExpansion*len(data)))); took > most {
			t.Errorf("%d bytes that become %d allocated %d, want at most %d", len(data), c.n, took, most)
		}
		// A message that was made without the key is refused before it is decompressed.
		for _, outer := range []codec.Codec{signed, sealed, codec.Compress(signed), codec.Compress(sealed)} {
			took := allocated(func() { err = outer.DecodeValue(data, &s) })
			if err == nil || errors.Is(err, codec.ErrTooLong) {
				t.Errorf("%s, without the key: error %v", outer.Name(), err)
			}
			if most := uint64(8<<20 + 2*len(data)); took > most {
				t.Errorf("%s, without the key: %d bytes allocated %d, want at most %d", outer.Name(), len(data), took, most)
			}
		}
		if c.want == nil {
			// Every value that can be sent can be read: if it could be compressed too well, it is not compressed.
			for _, outer := range []codec.Codec{plain, signed, sealed} {
				var back string
				if err := outer.DecodeValue(must2(t)(outer.AppendValue(nil, s)), &back); err != nil || back != s {
					t.Errorf("%s, %d bytes: %d bytes decoded, error %v", outer.Name(), len(s), len(back), err)
				}
			}
		}
	}
	zeros := make([]byte, 8<<20)
	var back []byte
	if err := sealed.DecodeValue(must2(t)(sealed.AppendValue(nil, zeros)), &back); err != nil || !bytes.Equal(back, zeros) {
		t.Errorf("zeros: %d bytes decoded, error %v", len(back), err)
	}
	for _, wrong := range []codec.Codec{codec.Compress(signed), codec.Compress(sealed)} {
		if _, err := wrong.AppendValue(nil, "x"); !errors.Is(err, codec.ErrUnsupported) {
			t.Errorf("%s: error %v, want ErrUnsupported", wrong.Name(), err)
		}
	}
}

// A value that is large in memory is refused even if it is short when compressed: the limit is for the decompressed length.
func TestCompressedExpansionInMemory(t *testing.T) {
	c := codec.Compress(codec.Msgpack())
	var data []byte
	buf := bytes.NewBuffer([]byte{1})
	w := gzip.NewWriter(buf)
	_, _ = w.Write(list32(900<<10, "\x80"))
	_ = w.Close()
	data = buf.Bytes()
	var err error
	took := allocated(func() { err = c.DecodeValue(data, new([]bulky)) })
	if !errors.Is(err, codec.ErrExpansion) {
		t.Errorf("%d bytes: error %v, want ErrExpansion", len(data), err)
	}
	if took > 16<<20 {
		t.Errorf("%d bytes allocated %d", len(data), took)
	}
}

// light is not heavy, so a short message of it is not weighed.
type light struct {
	Pad [100]byte `json:"pad"`
	N   int       `json:"n"`
}

type lightArgs struct {
	A []light `arbiter:"a,optional"`
	B any     `arbiter:"b,optional"`
}

// A long message is weighed for every type, so that the limits of Compress and of the decoder do not multiply.
func TestLongMessagesAreWeighed(t *testing.T) {
	const n = 8 << 20
	lists := strings.Repeat("\x90", n)
	head := string([]byte{0xdd, 0, n >> 16, 0, 0})
	for name, c := range map[string]struct {
		codec codec.Codec
		plain string
		into  any
		args  bool
	}{
		"msgpack, structs":          {codec.Msgpack(), string(list32(n, "\x80")), new([]light), false},
		"msgpack, pointers":         {codec.Msgpack(), string(list32(n, "\x80")), new([]*light), false},
		"msgpack, any":              {codec.Msgpack(), head + lists, new(any), false},
		"msgpack, map of any":       {codec.Msgpack(), "\x81\xa1k" + head + lists, new(map[string]any), false},
		"msgpack, arguments":        {codec.Msgpack(), "\x91" + head + lists, new(codec.Arguments), true},
		"msgpack, argument":         {codec.Msgpack(), "\x81\xa1a" + string(list32(n, "\x80")), new(lightArgs), true},
		"msgpack, argument, any":    {codec.Msgpack(), "\x81\xa1b" + head + lists, new(lightArgs), true},
		"json, structs":             {codec.JSON(), string(jsonList(n/3, "{}")), new([]light), false},
		"json, argument":            {codec.JSON(), `{"a":` + string(jsonList(n/3, "{}")) + "}", new(lightArgs), true},
		"json, positional argument": {codec.JSON(), "[" + string(jsonList(n/3, "{}")) + "]", new(lightArgs), true},
	} {
		var err error
		took := allocated(func() {
			if c.args {
				err = c.codec.DecodeArgs([]byte(c.plain), c.into)
			} else {
				err = c.codec.DecodeValue([]byte(c.plain), c.into)
			}
		})
		if most := uint64(1<<20 + 2*len(c.plain)); !errors.Is(err, codec.ErrExpansion) || took > most { // room for the conversion to bytes and the scan of JSON
			t.Errorf("%s: error %v, %d bytes were allocated, want at most %d", name, err, took, most)
		}
	}

	// A tenth of the message can't be compressed, so that its length is within MaxExpansion.
	noise := make([]byte, n/10)
	_, _ = rand.Read(noise)
	type mixed struct {
		Noise []byte
		List  []light
	}
	plain := must2(t)(codec.Msgpack().AppendValue([]byte{}, mixed{Noise: noise}))
	plain = append(bytes.TrimSuffix(plain, []byte{0xc0}), list32(n, "\x80")...) // replaces the nil of List
	buf := bytes.NewBuffer([]byte{1})
	w := gzip.NewWriter(buf)
	_, _ = w.Write(plain)
	_ = w.Close()
	var err error
	took := allocated(func() { err = codec.Compress(codec.Msgpack()).DecodeValue(buf.Bytes(), new(mixed)) })
	if !errors.Is(err, codec.ErrExpansion) || took > 64<<20 {
		t.Errorf("compressed to %d bytes: error %v, %d bytes were allocated", buf.Len(), err, took)
	}
}

// A long message whose contents fit its length is decoded, by both codecs.
func TestLongMessagesAreRead(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		type row struct {
			Name string         `json:"name"`
			N    int            `json:"n"`
			More map[string]any `json:"more"`
		}
		rows := make([]row, 40_000)
		for i := range rows {
			rows[i] = row{strconv.Itoa(i), i, map[string]any{"a": "b", "list": []any{true, nil, "x"}}}
		}
		data := encode(t, c, rows)
		if len(data) <= 1<<20 {
			t.Fatalf("%d bytes are not long", len(data))
		}
		var back []row
		if err := c.DecodeValue(data, &back); err != nil || len(back) != len(rows) || back[39_999].Name != "39999" {
			t.Errorf("%d rows decoded, error %v", len(back), err)
		}
		var untyped any
		if err := c.DecodeValue(data, &untyped); err != nil || len(untyped.([]any)) != len(rows) {
			t.Errorf("into any: error %v", err)
		}
	})
}

func must2(t *testing.T) func(data []byte, err error) []byte {
	return func(data []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}
