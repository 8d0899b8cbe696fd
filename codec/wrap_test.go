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

// wraps are all wrappers, each on both codecs.
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
				t.Fatalf("came back as %.40v, %v", out, err)
			}
			if data, err = c.AppendValue(nil, in.A); err != nil {
				t.Fatal(err)
			}
			var text string
			if err := c.DecodeValue(data, &text); err != nil || text != in.A {
				t.Fatalf("came back as %.40q, %v", text, err)
			}
		}
		if _, err := c.AppendValue(nil, make(chan int)); !errors.Is(err, codec.ErrUnsupported) {
			t.Errorf("a channel: %v", err)
		}
	})
}

// Whatever is changed or cut is an error, and never something else.
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
				t.Fatalf("cut after %d bytes of %d it was read as %.40q", i, len(data), out)
			}
			bad := goslices.Clone(data)
			bad[i] ^= 1
			if err := c.DecodeValue(bad, &out); secure && err == nil {
				t.Fatalf("with byte %d changed it was read as %.40q", i, out)
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
				t.Errorf("with the older key: %d, %v", n, err)
			}
			if err := young.DecodeValue(data, &n); !errors.Is(err, codec.ErrForged) {
				t.Errorf("without the older key: %v", err)
			}
			if data, err = both.AppendValue(nil, 6); err != nil {
				t.Fatal(err)
			}
			if err := young.DecodeValue(data, &n); err != nil || n != 6 {
				t.Errorf("with the new key: %d, %v", n, err)
			}
			for _, bad := range [][]byte{nil, key1[:8]} {
				if _, err := build(codec.Msgpack(), bad); err == nil {
					t.Errorf("a key of %d bytes was accepted", len(bad))
				}
				if _, err := build(codec.Msgpack(), key1, bad); err == nil {
					t.Errorf("an older key of %d bytes was accepted", len(bad))
				}
			}
		})
	}
	// The same key for another codec is another signature.
	signed := must(t)(codec.Sign(codec.Msgpack(), key1))
	data, err := must(t)(codec.Sign(codec.JSON(), key1)).AppendValue(nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.DecodeValue(data, new(int)); !errors.Is(err, codec.ErrForged) {
		t.Errorf("bytes of another codec: %v", err)
	}
}

// Where a key is needed nothing gets by without one.
func TestByNameWithKeys(t *testing.T) {
	signed := must(t)(codec.Sign(codec.Msgpack(), key1))
	inside := must(t)(codec.Encrypt(signed, key1))
	for _, more := range [][]codec.Codec{{signed}, {inside}, {codec.Compress(codec.JSON()), signed}} {
		for _, name := range []string{"msgpack", "json"} {
			if c, err := codec.ByName(name, more...); !errors.Is(err, codec.ErrUnknownCodec) {
				t.Errorf("%s beside %s: %v, %v", name, more[0].Name(), c, err)
			}
		}
		last := more[len(more)-1]
		if c, err := codec.ByName(last.Name(), more...); err != nil || c != last {
			t.Errorf("%s: %v", last.Name(), err)
		}
	}
	if _, err := codec.ByName("msgpack", codec.Compress(codec.Msgpack())); err != nil {
		t.Errorf("msgpack beside compression: %v", err)
	}
	mine := lockedAway{renamed{codec.JSON(), "mine"}}
	if _, err := codec.ByName("json", mine); !errors.Is(err, codec.ErrUnknownCodec) {
		t.Errorf("json beside a codec of one's own: %v", err)
	}
	for want, more := range map[codec.Codec][]codec.Codec{
		codec.Msgpack(): {nil, codec.JSON(), codec.Compress(codec.JSON())},
		signed:          {codec.JSON(), nil, signed, inside},
		inside:          {inside, signed},
		mine:            {mine},
	} {
		if got := codec.Default(more...); got != want {
			t.Errorf("the default is %s, want %s", got.Name(), want.Name())
		}
	}
}

// lockedAway is a codec of one's own that needs a key.
type lockedAway struct{ codec.Codec }

func (l lockedAway) Plain() codec.Codec { return l.Codec }

func (lockedAway) Seal(dst, plain, _ []byte) ([]byte, error) { return append(dst, plain...), nil }

func (lockedAway) Open(data, _ []byte) ([]byte, error) { return data, nil }

func (lockedAway) Fingerprint(plain []byte) []byte { return plain }

// What is sealed from the same has one fingerprint, also while keys change, and
// nobody can read in it what was sealed.
func TestFingerprint(t *testing.T) {
	for _, build := range []func(codec.Codec, []byte, ...[]byte) (codec.Codec, error){codec.Sign, codec.Encrypt} {
		outer := must(t)(build(codec.Compress(codec.Msgpack()), key1))
		print := func(c codec.Codec, v string) string { return string(c.(codec.Sealer).Fingerprint([]byte(v))) }
		if text := print(outer, "text"); text != print(outer, "text") || text == print(outer, "next") || len(text) < 16 || strings.Contains(text, "text") {
			t.Errorf("%s: fingerprints are not as what was sealed", outer.Name())
		}
		if print(outer, "text") != print(must(t)(build(codec.Compress(codec.Msgpack()), key2, key1)), "text") {
			t.Error("a new key in front gives other fingerprints")
		}
		if print(outer, "text") == print(must(t)(build(codec.Compress(codec.Msgpack()), key2)), "text") {
			t.Error("fingerprints need no key")
		}
	}
}

func TestByNameSays(t *testing.T) {
	signed := must(t)(codec.Sign(codec.Msgpack(), key1))
	_, err := codec.ByName(strings.Repeat("x", 10_000), signed)
	if err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), "msgpack+signed signs or encrypts") {
		t.Errorf("%.400v", err)
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
		t.Errorf("%d bytes that become more than %d: %v", buf.Len(), codec.MaxDecompressed, err)
	}
}

func TestWrappedJoins(t *testing.T) {
	wraps(t, func(t *testing.T, c codec.Codec) {
		if s, ok := c.(codec.Sealer); ok { // who joins opens first
			if _, ok := c.(codec.Joiner); ok {
				t.Error("what is sealed is joined by whoever asks")
			}
			c = s.Plain()
		}
		j := c.(codec.Joiner)
		var values [][]byte
		for i := range 3 {
			v, err := c.AppendValue(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		all, err := j.AppendJoined(nil, values)
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
			t.Errorf("came back as %v, %v", out, err)
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
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range cs {
			var v any
			_ = c.DecodeValue(data, &v)
		}
	})
}
