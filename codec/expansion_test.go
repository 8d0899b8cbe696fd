package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
)

// bulky is large in memory, and can be one byte in msgpack.
type bulky struct {
	Pad  [1600]byte `json:"pad"`
	N    int        `json:"n"`
	Kids []bulky    `json:"kids"`
}

type Embedded struct {
	N   int `json:"n"`
	Pad [4000]byte
}

type embeds struct{ *Embedded }

type bigArgs struct {
	A []bulky `arbiter:"a,optional"`
}

type bigVariadic struct {
	A []bulky `arbiter:"a,variadic"`
}

// list32 is a msgpack array of n equal elements.
func list32(n int, elem string) []byte {
	head := []byte{0xdd, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	return append(head, strings.Repeat(elem, n)...)
}

func jsonList(n int, elem string) []byte {
	return []byte("[" + strings.TrimSuffix(strings.Repeat(elem+",", n), ",") + "]")
}

// allocated returns how many bytes f allocates. Other tests may allocate at the same time, so it is the minimum of several tries.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	total := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	least := ^uint64(0)
	for range 3 {
		before := total()
		f()
		least = min(least, total()-before)
	}
	return least
}

// A message can't make its receiver allocate much more memory than it has bytes: large structs that are sent empty are refused
// before memory is allocated for them.
func TestExpansion(t *testing.T) {
	const n = 64 << 10
	chain := strings.Repeat("\x81\xa4kids\x91", 400) + "\x80"
	for name, c := range map[string]struct {
		codec codec.Codec
		data  []byte
		into  func() any
		args  bool
	}{
		"msgpack, slice":                {codec.Msgpack(), list32(n, "\x80"), func() any { return new([]bulky) }, false},
		"msgpack, malformed at its end": {codec.Msgpack(), append(list32(n, "\x80")[:n+4], 0x81), func() any { return new([]bulky) }, false},
		"msgpack, pointers":             {codec.Msgpack(), list32(n, "\x80"), func() any { return new([]*bulky) }, false},
		"msgpack, in a struct":          {codec.Msgpack(), append([]byte("\x81\xa4kids"), list32(n, "\x80")...), func() any { return new(bulky) }, false},
		"msgpack, in any order":         {codec.Msgpack(), list32(n/64, "\x81\xa4kids\x9f"+strings.Repeat("\x80", 15)), func() any { return new([]bulky) }, false},
		"msgpack, in arrays":            {codec.Msgpack(), append([]byte("\x91"), list32(n, "\x80")...), func() any { return new([1][]bulky) }, false},
		"msgpack, in maps":              {codec.Msgpack(), append([]byte("\x81\xa1k"), list32(n, "\x80")...), func() any { return new(map[string][]bulky) }, false},
		"msgpack, embedded pointer":     {codec.Msgpack(), list32(n, "\x81\xa1n\x01"), func() any { return new([]embeds) }, false},
		"msgpack, deep":                 {codec.Msgpack(), list32(20, chain), func() any { return new([]bulky) }, false},
		"msgpack, argument":             {codec.Msgpack(), append([]byte("\x91"), list32(n, "\x80")...), func() any { return new(bigArgs) }, true},
		"msgpack, by name":              {codec.Msgpack(), append([]byte("\x81\xa1a"), list32(n, "\x80")...), func() any { return new(bigArgs) }, true},
		"msgpack, variadic":             {codec.Msgpack(), list32(n, "\x80"), func() any { return new(bigVariadic) }, true},
		"json, slice":                   {codec.JSON(), jsonList(n, "{}"), func() any { return new([]bulky) }, false},
		"json, nulls":                   {codec.JSON(), jsonList(n, "null"), func() any { return new([]bulky) }, false},
		"json, pointers":                {codec.JSON(), jsonList(n, "{}"), func() any { return new([]*bulky) }, false},
		"json, in a struct":             {codec.JSON(), append(append([]byte(`{"KIDS": `), jsonList(n, "{}")...), '}'), func() any { return new(bulky) }, false},
		"json, in maps":                 {codec.JSON(), append(append([]byte(`{"k" : `), jsonList(n, "{}")...), '}'), func() any { return new(map[string][]bulky) }, false},
		"json, embedded pointer":        {codec.JSON(), jsonList(n, `{"n":1}`), func() any { return new([]embeds) }, false},
		"json, argument":                {codec.JSON(), append(append([]byte("["), jsonList(n, "{}")...), ']'), func() any { return new(bigArgs) }, true},
		"json, variadic":                {codec.JSON(), jsonList(n, "{}"), func() any { return new(bigVariadic) }, true},
	} {
		var err error
		took := allocated(func() {
			if c.args {
				err = c.codec.DecodeArgs(c.data, c.into())
			} else {
				err = c.codec.DecodeValue(c.data, c.into())
			}
		})
		if most := uint64(8<<20 + 3*256*len(c.data)); took > most {
			t.Errorf("%s: %d bytes allocated %d, want at most %d", name, len(c.data), took, most)
		}
		var e *codec.Error
		if name == "msgpack, deep" { // 240 bytes for each byte, within the limit
			if err != nil {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if !errors.Is(err, codec.ErrExpansion) || !errors.As(err, &e) || !strings.Contains(err.Error(), "would need more than") || !strings.Contains(err.Error(), "pointers") {
			t.Errorf("%s: error %v, want ErrExpansion with a remedy", name, err)
		}
	}
}

// Messages of ordinary programs are not refused: large structs that are sent in full, short lists of empty ones, and elements that
// are null.
func TestNoExpansion(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		full := make([]bulky, 300)
		for i := range full {
			full[i].Kids = []bulky{{N: i}}
		}
		got := new([]bulky)
		if err := c.DecodeValue(encode(t, c, full), got); err != nil || len(*got) != 300 || (*got)[299].Kids[0].N != 299 {
			t.Errorf("full structs: error %v", err)
		}
		nothing := make([]*bulky, 100_000)
		if err := c.DecodeValue(encode(t, c, nothing), &nothing); err != nil {
			t.Errorf("null elements: error %v", err)
		}
		wide := map[string][4000]byte{}
		for i := range 50 {
			wide[fmt.Sprint(i)] = [4000]byte{}
		}
		if err := c.DecodeValue(encode(t, c, wide), &wide); err != nil {
			t.Errorf("a map of large arrays: error %v", err)
		}
	})
	few := new([]bulky)
	if err := codec.Msgpack().DecodeValue(list32(500, "\x80"), few); err != nil || len(*few) != 500 {
		t.Errorf("a short list of empty structs: error %v", err)
	}
}

// FuzzExpansion decodes any input into large types, and compares the memory that both codecs allocate with the length of the input.
func FuzzExpansion(f *testing.F) {
	f.Add(list32(2000, "\x80"))
	f.Add(jsonList(2000, "{}"))
	f.Add([]byte(`{"kids":[{},{"kids":[{}]}]}`))
	f.Add(bytes.Repeat([]byte("\x81\xa4kids\x91"), 500))
	types := []reflect.Type{
		reflect.TypeFor[[]bulky](), reflect.TypeFor[bulky](), reflect.TypeFor[map[string]*bulky](), reflect.TypeFor[[]embeds](), reflect.TypeFor[any](),
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
			for _, typ := range types {
				took := allocated(func() { _ = c.DecodeValue(data, reflect.New(typ).Interface()) })
				if most := uint64(16<<20 + 4*256*len(data)); took > most {
					t.Errorf("%s into %s: %d bytes allocated %d, want at most %d", c.Name(), typ, len(data), took, most)
				}
			}
		}
	})
}
