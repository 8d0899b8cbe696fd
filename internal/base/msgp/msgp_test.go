package msgp_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/go-arbiter/arbiter/internal/base/msgp"
	"github.com/vmihailenco/msgpack/v5"
)

// byLibrary returns the encoding of the msgpack library.
func byLibrary(t *testing.T, write func(*msgpack.Encoder) error) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := write(msgpack.NewEncoder(&buf)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestIntegersMatchLibrary(t *testing.T) {
	for bit := range 64 {
		for off := range int64(5) {
			for _, n := range []int64{1<<bit + off - 2, -(1 << bit) + off - 2} {
				got := msgp.AppendInt(nil, n)
				if want := byLibrary(t, func(e *msgpack.Encoder) error { return e.EncodeInt(n) }); !bytes.Equal(got, want) {
					t.Errorf("AppendInt(%d) is %x, want %x as in the library", n, got, want)
				}
				if back, rest, err := msgp.TakeInt(append(got, 1)); int64(back) != n || len(rest) != 1 || err != nil {
					t.Errorf("TakeInt of the encoded %d returned %d, %v", n, int64(back), err)
				}
				got = msgp.AppendUint(nil, uint64(n))
				if want := byLibrary(t, func(e *msgpack.Encoder) error { return e.EncodeUint(uint64(n)) }); !bytes.Equal(got, want) {
					t.Errorf("AppendUint(%d) is %x, want %x as in the library", uint64(n), got, want)
				}
				for cut := range got {
					if _, _, err := msgp.TakeInt(got[:cut]); err != msgp.ErrTruncated {
						t.Errorf("TakeInt(%x): error %v, want ErrTruncated", got[:cut], err)
					}
				}
			}
		}
	}
}

func TestLengthsMatchLibrary(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536} {
		b := bytes.Repeat([]byte{'x'}, n)
		for name, c := range map[string]struct {
			got   []byte
			write func(*msgpack.Encoder) error
			take  func([]byte) (int, []byte, error)
		}{
			"string": {msgp.AppendString(nil, string(b)), func(e *msgpack.Encoder) error { return e.EncodeString(string(b)) },
				func(in []byte) (int, []byte, error) { s, rest, err := msgp.TakeString(in); return len(s), rest, err }},
			"bytes": {msgp.AppendBytes(nil, b), func(e *msgpack.Encoder) error { return e.EncodeBytes(b) },
				func(in []byte) (int, []byte, error) { s, rest, err := msgp.TakeBytes(in); return len(s), rest, err }},
			"array": {msgp.AppendArrayHead(nil, n), func(e *msgpack.Encoder) error { return e.EncodeArrayLen(n) }, msgp.TakeArrayHead},
			"map":   {msgp.AppendMapHead(nil, n), func(e *msgpack.Encoder) error { return e.EncodeMapLen(n) }, msgp.TakeMapHead},
		} {
			if want := byLibrary(t, c.write); !bytes.Equal(c.got, want) {
				t.Errorf("%s of length %d is encoded as %x, want %x as in the library", name, n, c.got, want)
			}
			if back, _, err := c.take(append(c.got, make([]byte, 2*n)...)); back != n || err != nil {
				t.Errorf("%s of length %d: the decoded length is %d, error %v", name, n, back, err)
			}
			if _, _, err := c.take(c.got[:len(c.got)-1]); !errors.Is(err, msgp.ErrTruncated) {
				t.Errorf("%s of length %d without its last byte: error %v, want ErrTruncated", name, n, err)
			}
		}
	}
}

// skip skips a value with Skip and with the library. Both must accept the same values and leave the same number of bytes.
// If the library finds that the input is truncated, so must Skip.
func skip(t *testing.T, data []byte) {
	t.Helper()
	rest, err := msgp.Skip(data, 0)
	if errors.Is(err, msgp.ErrTooDeep) { // the library has no limit
		return
	}
	r := bytes.NewReader(data)
	want := msgpack.NewDecoder(r).Skip()
	if (err == nil) != (want == nil) || err == nil && len(rest) != r.Len() {
		t.Errorf("Skip(%x) left %d bytes, error %v; the library left %d, error %v", data, len(rest), err, r.Len(), want)
	}
	if ended := errors.Is(want, io.EOF) || errors.Is(want, io.ErrUnexpectedEOF); ended && !errors.Is(err, msgp.ErrTruncated) {
		t.Errorf("Skip(%x): error %v, want ErrTruncated as the library has %v", data, err, want)
	}
}

func TestSkip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for code := range 256 {
		for range 200 {
			data := []byte{byte(code)}
			for range rnd.IntN(40) {
				if b := byte(rnd.Uint32()); rnd.IntN(2) == 0 {
					data = append(data, b)
				} else {
					data = append(data, b&7)
				}
			}
			skip(t, data)
		}
	}
	deep := bytes.Repeat([]byte{msgp.FixArray | 1}, msgp.MaxDepth+1)
	if rest, err := msgp.Skip(append(deep[1:], msgp.Nil), 0); err != nil || len(rest) != 0 {
		t.Errorf("a value nested to the limit: error %v and %d bytes left", err, len(rest))
	}
	if _, err := msgp.Skip(append(deep, msgp.Nil), 0); err != msgp.ErrTooDeep {
		t.Errorf("a value nested deeper than the limit: error %v, want ErrTooDeep", err)
	}
	if _, err := msgp.Skip([]byte{msgp.Never}, 0); !errors.Is(err, msgp.ErrSyntax) {
		t.Errorf("the byte Never: error %v, want ErrSyntax", err)
	}
}

func FuzzSkip(f *testing.F) {
	f.Add([]byte{msgp.Map32, 0, 0, 0, 1, msgp.Str8, 1, 'a', msgp.FixExt4, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, data []byte) { skip(t, data) })
}
