package codec_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	goslices "slices"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
)

var (
	key1 = []byte("0123456789abcdef0123456789abcdef")
	key2 = []byte("fedcba9876543210fedcba9876543210")
)

func must(t testing.TB) func(codec.Codec, error) codec.Codec {
	return func(c codec.Codec, err error) codec.Codec {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// wraps runs a test with each wrapper on both codecs.
func wraps(t testing.TB, test func(t *testing.T, c codec.Codec)) {
	for _, inner := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		for _, c := range []codec.Codec{
			codec.Compress(inner),
			must(t)(codec.Sign(inner, key1)),
			must(t)(codec.Encrypt(inner, key1)),
			must(t)(codec.Encrypt(must(t)(codec.Sign(codec.Compress(inner), key1)), key2)),
		} {
			if tt, ok := t.(*testing.T); ok {
				tt.Run(c.Name(), func(t *testing.T) { test(t, c) })
			}
		}
	}
}

type wrapArgs struct {
	A string `arbiter:"a"`
	B []int  `arbiter:"b"`
}

func TestWrapped(t *testing.T) {
	wraps(t, func(t *testing.T, c codec.Codec) {
		if len(c.Name()) > 32 {
			t.Errorf("the name is %d bytes long", len(c.Name()))
		}
		for _, size := range []int{0, 10, 5_000} {
			in := wrapArgs{strings.Repeat("ab", size), []int{1, 2}}
			data, err := c.AppendArgs([]byte("front"), in)
			if err != nil || !bytes.HasPrefix(data, []byte("front")) {
				t.Fatal(data, err)
			}
			var out wrapArgs
			if err := c.DecodeArgs(data[5:], &out); err != nil || out.A != in.A || !goslices.Equal(out.B, in.B) {
				t.Fatalf("decoded as %.40v, error %v", out, err)
			}
			if data, err = c.AppendValue(nil, in.A); err != nil {
				t.Fatal(err)
			}
			var text string
			if err := c.DecodeValue(data, &text); err != nil || text != in.A {
				t.Fatalf("decoded as %.40q, error %v", text, err)
			}
		}
		if _, err := c.AppendValue(nil, make(chan int)); !errors.Is(err, codec.ErrUnsupported) {
			t.Errorf("a channel: error %v", err)
		}
	})
}

// Bytes that were changed or cut off are an error, and are never decoded to something else.
func TestWrappedDamaged(t *testing.T) {
	wraps(t, func(t *testing.T, c codec.Codec) {
		data, err := c.AppendValue(nil, strings.Repeat("x", 600))
		if err != nil {
			t.Fatal(err)
		}
		secure := strings.Contains(c.Name(), "+s")
		for i := range data {
			var out string
			if err := c.DecodeValue(data[:i], &out); err == nil {
				t.Fatalf("the first %d bytes of %d were decoded as %.40q", i, len(data), out)
			}
			bad := goslices.Clone(data)
			bad[i] ^= 1
			if err := c.DecodeValue(bad, &out); secure && err == nil {
				t.Fatalf("with byte %d changed, it was decoded as %.40q", i, out)
			}
		}
	})
}

func TestKeys(t *testing.T) {
	type maker func(codec.Codec, []byte, ...[]byte) (codec.Codec, error)
	for name, build := range map[string]maker{"sign": codec.Sign, "encrypt": codec.Encrypt} {
		t.Run(name, func(t *testing.T) {
			old := must(t)(build(codec.Msgpack(), key1))
			both := must(t)(build(codec.Msgpack(), key2, key1))
			young := must(t)(build(codec.Msgpack(), key2))
			data, err := old.AppendValue(nil, 5)
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := both.DecodeValue(data, &n); err != nil || n != 5 {
				t.Errorf("with the older key: %d, error %v", n, err)
			}
			if err := young.DecodeValue(data, &n); !errors.Is(err, codec.ErrForged) {
				t.Errorf("without the older key: error %v, want ErrForged", err)
			}
			if data, err = both.AppendValue(nil, 6); err != nil {
				t.Fatal(err)
			}
			if err := young.DecodeValue(data, &n); err != nil || n != 6 {
				t.Errorf("with the new key: %d, error %v", n, err)
			}
			for _, bad := range [][]byte{nil, key1[:8]} {
				if _, err := build(codec.Msgpack(), bad); err == nil {
					t.Errorf("a key of %d bytes was accepted", len(bad))
				}
				if _, err := build(codec.Msgpack(), key1, bad); err == nil {
					t.Errorf("a second key of %d bytes was accepted", len(bad))
				}
			}
		})
	}
	// With the same key, the signature of another codec is not valid.
	signed := must(t)(codec.Sign(codec.Msgpack(), key1))
	data, err := must(t)(codec.Sign(codec.JSON(), key1)).AppendValue(nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.DecodeValue(data, new(int)); !errors.Is(err, codec.ErrForged) {
		t.Errorf("bytes of another codec: error %v, want ErrForged", err)
	}
}

// If a codec with a key is given, ByName refuses all codecs that were not given.
func TestByNameWithKeys(t *testing.T) {
	signed := must(t)(codec.Sign(codec.Msgpack(), key1))
	inside := must(t)(codec.Encrypt(signed, key1))
	for _, more := range [][]codec.Codec{{signed}, {inside}, {codec.Compress(codec.JSON()), signed}} {
		for _, name := range []string{"msgpack", "json"} {
			if c, err := codec.ByName(name, more...); !errors.Is(err, codec.ErrUnknownCodec) {
				t.Errorf("ByName(%s) beside %s: %v, error %v", name, more[0].Name(), c, err)
			}
		}
		last := more[len(more)-1]
		if c, err := codec.ByName(last.Name(), more...); err != nil || c != last {
			t.Errorf("ByName(%s): error %v", last.Name(), err)
		}
	}
	if _, err := codec.ByName("msgpack", codec.Compress(codec.Msgpack())); err != nil {
		t.Errorf("msgpack beside compression: error %v", err)
	}
	mine := lockedAway{renamed{codec.JSON(), "mine"}}
	if _, err := codec.ByName("json", mine); !errors.Is(err, codec.ErrUnknownCodec) {
		t.Errorf("json beside a codec from outside the package: error %v", err)
	}
	for want, more := range map[codec.Codec][]codec.Codec{
		codec.Msgpack(): {nil, codec.JSON(), codec.Compress(codec.JSON())},
		signed:          {codec.JSON(), nil, signed, inside},
		inside:          {inside, signed},
		mine:            {mine},
	} {
		if got := codec.Default(more...); got != want {
			t.Errorf("the default codec is %s, want %s", got.Name(), want.Name())
		}
	}
}

// lockedAway is a Sealer from outside the package.
type lockedAway struct{ codec.Codec }

func (l lockedAway) Plain() codec.Codec { return l.Codec }

func (lockedAway) Seal(dst, plain, _ []byte) ([]byte, error) { return append(dst, plain...), nil }

func (lockedAway) Open(data, _ []byte) ([]byte, error) { return data, nil }

func (lockedAway) Fingerprint(plain []byte) []byte { return plain }

// Equal bytes have the same fingerprint, and it shows nothing about them to anybody without the key. With FingerprintWith
// it depends on nothing but the key that is given there.
func TestFingerprint(t *testing.T) {
	for _, build := range []func(codec.Codec, []byte, ...[]byte) (codec.Codec, error){codec.Sign, codec.Encrypt} {
		outer := must(t)(build(codec.Compress(codec.Msgpack()), key1))
		print := func(c codec.Codec, v string) string { return string(c.(codec.Sealer).Fingerprint([]byte(v))) }
		if text := print(outer, "text"); text != print(outer, "text") || text == print(outer, "next") || len(text) < 16 || strings.Contains(text, "text") {
			t.Errorf("%s: fingerprints are equal for different bytes or different for equal ones", outer.Name())
		}
		if print(outer, "text") != print(must(t)(build(codec.Compress(codec.Msgpack()), key1, key2)), "text") {
			t.Error("a second key changes the fingerprints")
		}
		if print(outer, "text") == print(must(t)(build(codec.Compress(codec.Msgpack()), key2)), "text") {
			t.Error("fingerprints do not depend on the key")
		}
		for _, keys := range [][][]byte{{key1}, {key1, key2}, {key2, key1}, {key2}} {
			kept := must(t)(codec.FingerprintWith(must(t)(build(codec.Compress(codec.Msgpack()), keys[0], keys[1:]...)), key1))
			if kept.Name() != outer.Name() || print(kept, "text") != print(outer, "text") {
				t.Errorf("FingerprintWith the first key makes other fingerprints than the codec %s", outer.Name())
			}
			if hidden := must(t)(codec.Hide(kept, codec.UniqueKeys)); print(hidden, "text") != print(outer, "text") {
				t.Error("Hide changes the fingerprints")
			}
			hidden := must(t)(codec.Hide(must(t)(build(codec.Compress(codec.Msgpack()), keys[0], keys[1:]...)), codec.UniqueKeys))
			if hidden = must(t)(codec.FingerprintWith(hidden, key1)); print(hidden, "text") != print(outer, "text") || !codec.Hides(hidden, codec.UniqueKeys) {
				t.Error("FingerprintWith of Hide makes other fingerprints, or hides less")
			}
			data, err := kept.AppendValue(nil, 5)
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := must(t)(build(codec.Compress(codec.Msgpack()), keys[0])).DecodeValue(data, &n); err != nil || n != 5 {
				t.Errorf("bytes that were sealed with a fingerprint key: %d, error %v", n, err)
			}
		}
	}
	for _, c := range []codec.Codec{nil, codec.Msgpack(), lockedAway{codec.JSON()}} {
		if _, err := codec.FingerprintWith(c, key1); err == nil {
			t.Errorf("FingerprintWith of %v succeeded", c)
		}
	}
	if _, err := codec.FingerprintWith(must(t)(codec.Sign(codec.Msgpack(), key1)), key1[:15]); err == nil {
		t.Error("a fingerprint key of 15 bytes was accepted")
	}
	// A signature hides nothing, with or without a fingerprint key.
	if _, err := codec.Hide(must(t)(codec.FingerprintWith(must(t)(codec.Sign(codec.Msgpack(), key1)), key2)), codec.Errors); err == nil {
		t.Error("a signature hides errors")
	}
}

func TestByNameSays(t *testing.T) {
	signed := must(t)(codec.Sign(codec.Msgpack(), key1))
	_, err := codec.ByName(strings.Repeat("x", 10_000), signed)
	if err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), "msgpack+signed signs or encrypts") {
		t.Errorf("error %.400v, want one that says that msgpack+signed signs or encrypts", err)
	}
}

func TestBomb(t *testing.T) {
	var buf bytes.Buffer
	buf.WriteByte(1)
	w := gzip.NewWriter(&buf)
	zeros := make([]byte, 1<<20)
	for range codec.MaxDecompressed/len(zeros) + 1 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := codec.Compress(codec.Msgpack()).DecodeValue(buf.Bytes(), &v); !errors.Is(err, codec.ErrTooLong) {
		t.Errorf("%d bytes that decompress to more than %d: error %v", buf.Len(), codec.MaxDecompressed, err)
	}
}

func TestWrappedCombines(t *testing.T) {
	wraps(t, func(t *testing.T, c codec.Codec) {
		if s, ok := c.(codec.Sealer); ok { // sealed values are opened before they are combined
			if _, ok := c.(codec.Combiner); ok {
				t.Error("a sealed codec is a Combiner")
			}
			c = s.Plain()
		}
		j := c.(codec.Combiner)
		var values [][]byte
		for i := range 3 {
			v, err := c.AppendValue(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		all, err := j.AppendArray(nil, values)
		if err != nil {
			t.Fatal(err)
		}
		args, err := c.AppendArgs(nil, codec.Arguments{Named: map[string]any{"a": "x"}})
		if err != nil {
			t.Fatal(err)
		}
		if args, err = j.AppendArg(nil, args, "b", all); err != nil {
			t.Fatal(err)
		}
		var out wrapArgs
		if err := c.DecodeArgs(args, &out); err != nil || out.A != "x" || !goslices.Equal(out.B, []int{0, 1, 2}) {
			t.Errorf("decoded as %v, error %v", out, err)
		}
	})
}

func FuzzWrapped(f *testing.F) {
	cs := []codec.Codec{codec.Compress(codec.Msgpack()), must(f)(codec.Sign(codec.Msgpack(), key1)), must(f)(codec.Encrypt(codec.JSON(), key1))}
	for _, c := range cs {
		for _, v := range []any{1, strings.Repeat("x", 2000)} {
			data, err := c.AppendValue(nil, v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, c := range cs {
			var v any
			_ = c.DecodeValue(data, &v)
		}
	})
}
