package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
)

// bothCodecs runs a test with each of the codecs, for a rule that both have.
func bothCodecs(t *testing.T, test func(t *testing.T, c codec.Codec)) {
	t.Helper()
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		t.Run(c.Name(), func(t *testing.T) { test(t, c) })
	}
}

// encode returns the encoding of one value.
func encode(t testing.TB, c codec.Codec, v any) []byte {
	t.Helper()
	data, err := c.AppendValue(nil, v)
	if err != nil {
		t.Fatalf("encoding %#v: %v", v, err)
	}
	return data
}

// rawMap returns the encoding of a map with fewer than 16 entries. Unlike a codec, it keeps the order of the
// entries and can repeat keys.
func rawMap(t testing.TB, c codec.Codec, keysAndValues ...any) []byte {
	t.Helper()
	var parts [][]byte
	for _, v := range keysAndValues {
		parts = append(parts, encode(t, c, v))
	}
	if c.Name() == "msgpack" {
		return append([]byte{0x80 | byte(len(parts)/2)}, bytes.Join(parts, nil)...)
	}
	out := []byte("{")
	for i, part := range parts {
		out = append(append(out, part...), []string{":", ","}[i%2]...)
	}
	return append(bytes.TrimSuffix(out, []byte(",")), '}')
}

// failure describes the error that a test wants.
type failure struct {
	is   error  // the sentinel that it wraps
	path string // its whole path
	says string // a part of its text
}

func (f failure) check(t *testing.T, codecName string, err error) {
	t.Helper()
	e, ok := errors.AsType[*codec.Error](err)
	if !ok {
		t.Fatalf("error %v (%T), want a *codec.Error", err, err)
	}
	if f.is != nil && !errors.Is(err, f.is) {
		t.Errorf("error %q is not %q", err, f.is)
	}
	if e.Codec != codecName || e.Path != f.path {
		t.Errorf("error %q of codec %q at %q, want codec %q at %q", err, e.Codec, e.Path, codecName, f.path)
	}
	if !strings.Contains(err.Error(), f.says) {
		t.Errorf("error %q does not contain %q", err, f.says)
	}
}

func TestNames(t *testing.T) {
	valid := regexp.MustCompile(`^[a-z0-9.+-]{1,32}$`)
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		if !valid.MatchString(c.Name()) {
			t.Errorf("invalid name %q", c.Name())
		}
		if got, err := codec.ByName(c.Name()); err != nil || got != c {
			t.Errorf("ByName(%q) = %v, %v", c.Name(), got, err)
		}
	})
}

// renamed is a codec under another name.
type renamed struct {
	codec.Codec
	name string
}

func (r renamed) Name() string { return r.name }

func TestByName(t *testing.T) {
	cbor, mine := renamed{codec.Msgpack(), "cbor"}, renamed{codec.JSON(), "json"}
	if got, err := codec.ByName("cbor", nil, mine, cbor); err != nil || got != cbor {
		t.Errorf("ByName of a codec that was given: %v, error %v", got, err)
	}
	if got, err := codec.ByName("json", mine); err != nil || got != mine {
		t.Errorf("ByName of a codec that was given in place of a built-in one: %v, error %v", got, err)
	}
	for _, name := range []string{"", "pickle", "Json", strings.Repeat("x", 10_000)} {
		_, err := codec.ByName(name, cbor)
		if !errors.Is(err, codec.ErrUnknownCodec) {
			t.Errorf("ByName(%.20q): error %v, want ErrUnknownCodec", name, err)
		} else if len(err.Error()) > 300 {
			t.Errorf("the error for %.20q is %d bytes long", name, len(err.Error()))
		}
	}
}

// TestAppend checks that the Append methods append to dst, and return it unchanged on error.
func TestAppend(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		for _, appendTo := range []func([]byte, any) ([]byte, error){
			func(dst []byte, v any) ([]byte, error) { return c.AppendValue(dst, v) },
			func(dst []byte, v any) ([]byte, error) { return c.AppendArgs(dst, struct{ V any }{v}) },
		} {
			alone, err := appendTo(nil, []any{1, "two"})
			if err != nil {
				t.Fatal(err)
			}
			dst := append(make([]byte, 0, 100), "before"...)
			if got, err := appendTo(dst, []any{1, "two"}); err != nil || string(got) != "before"+string(alone) {
				t.Errorf("got %q, error %v; want the encoding after %q", got, err, dst)
			}
			got, err := appendTo(dst, []any{1, "two", make(chan int)})
			if err == nil || string(got) != "before" {
				t.Errorf("with the error %v, dst is %q, want %q", err, got, dst)
			}
		}
	})
}

// TestNoAliasing checks that decoded values share no memory with the input.
func TestNoAliasing(t *testing.T) {
	type all struct {
		S string
		B []byte
		A any
		M map[string]any
		R rawText
	}
	in := all{"string", []byte("bytes"), []any{"any"}, map[string]any{"key": "value"}, "raw"}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		var got all
		data := encode(t, c, in)
		if err := c.DecodeValue(data, &got); err != nil {
			t.Fatal(err)
		}
		clear(data)
		if !reflect.DeepEqual(got, in) {
			t.Errorf("after the input was overwritten: %#v, want %#v", got, in)
		}
		got = all{}
		if err := c.DecodeArgs(mustArgs(t, c, in), &got); err != nil || !reflect.DeepEqual(got, in) {
			t.Errorf("as arguments: %#v, error %v", got, err)
		}
	})
}

func mustArgs(t testing.TB, c codec.Codec, args any) []byte {
	t.Helper()
	data, err := c.AppendArgs(nil, args)
	if err != nil {
		t.Fatalf("encoding the arguments %#v: %v", args, err)
	}
	return data
}

// rawText is a string type with methods that encode and decode text.
type rawText string

func (r rawText) MarshalText() ([]byte, error)  { return []byte(r), nil }
func (r *rawText) UnmarshalText(b []byte) error { *r = rawText(b); return nil }

// TestReplaces checks that decoding replaces everything that the destination held.
func TestReplaces(t *testing.T) {
	type inner struct {
		A int `json:"a,omitempty"`
		B int `json:"b,omitempty"`
	}
	type args struct {
		In   inner          `arbiter:"in"`
		List []inner        `arbiter:"list"`
		Map  map[string]int `arbiter:"map"`
		Ptr  *inner         `arbiter:"ptr"`
		Any  any            `arbiter:"any"`
		Opt  int            `arbiter:"opt,optional"`
		Skip int            `arbiter:"-"`
	}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		data := mustArgs(t, c, codec.Arguments{Named: map[string]any{
			"in": inner{A: 1}, "list": []inner{{A: 2}}, "map": map[string]int{"new": 1}, "ptr": inner{A: 3}, "any": map[string]any{},
		}})
		shared := inner{B: 8}
		backing := []inner{{B: 9}, {B: 9}}
		got := args{inner{B: 7}, backing, map[string]int{"old": 1}, &shared, map[string]any{"old": 1}, 5, 6}
		if err := c.DecodeArgs(data, &got); err != nil {
			t.Fatal(err)
		}
		want := args{inner{A: 1}, []inner{{A: 2}}, map[string]int{"new": 1}, &inner{A: 3}, map[string]any{}, 0, 6}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if shared.B != 8 || backing[0].B != 9 {
			t.Error("the value behind the old pointer of the destination was changed")
		}
	})
}

func TestErrorText(t *testing.T) {
	why := errors.New("why")
	for want, e := range map[string]*codec.Error{
		"msgpack: y: why": {Codec: "msgpack", Path: "y", Err: why},
		"json: why":       {Codec: "json", Err: why},
		"codec: a[]: why": {Path: "a[]", Err: why},
	} {
		if e.Error() != want || !errors.Is(e, why) {
			t.Errorf("%q, want %q", e, want)
		}
	}
	var pair struct {
		X int8 `arbiter:"x"`
		Y int8 `arbiter:"y"`
	}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		data := mustArgs(t, c, codec.Arguments{Positional: []any{1, 300}})
		if got, want := fmt.Sprint(c.DecodeArgs(data, &pair)), c.Name()+": y: a number overflows int8"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestLongNames checks that names from the input neither make errors long nor break their format.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("ä", 100_000)
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		var args struct{ X int }
		err := c.DecodeArgs(rawMap(t, c, long, 1), &args)
		if !errors.Is(err, codec.ErrUnknown) || len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes: %.300v", len(err.Error()), err)
		}
		err = c.DecodeArgs(rawMap(t, c, "a: b\n", 1), &args)
		failure{codec.ErrUnknown, `["a: b\n"]`, "there are X"}.check(t, c.Name(), err)

		v := map[string]any{"x": make(chan int)}
		for range 900 {
			v = map[string]any{"some_key": v}
		}
		if _, err = c.AppendArgs(nil, codec.Arguments{Named: v}); err == nil || len(err.Error()) > 500 {
			t.Errorf("AppendArgs with long names: error %.300v", err)
		}
	})
}
