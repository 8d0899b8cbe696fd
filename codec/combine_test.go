package codec_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
)

func combiner(t testing.TB, c codec.Codec) codec.Combiner {
	t.Helper()
	j, ok := c.(codec.Combiner)
	if !ok {
		t.Fatalf("%s is not a Combiner", c.Name())
	}
	return j
}

func TestAppendArray(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		var values [][]byte
		want := []any{}
		for i := range 40 { // from 16 values on, the head of a msgpack array is longer
			values = append(values, encode(t, c, i))
			want = append(want, int64(i))
			data, err := combiner(t, c).AppendArray([]byte("before"), values)
			if err != nil || string(data[:6]) != "before" {
				t.Fatalf("AppendArray of %d values: %q, error %v", len(values), data, err)
			}
			var got any
			if err := c.DecodeValue(data[6:], &got); err != nil || !reflect.DeepEqual(got, any(want)) {
				t.Fatalf("%d values were decoded as %v, error %v", len(values), got, err)
			}
		}
		data, err := combiner(t, c).AppendArray(nil, [][]byte{encode(t, c, 7), nil})
		if err != nil {
			t.Fatal(err)
		}
		var ptrs []*int
		if err := c.DecodeValue(data, &ptrs); err != nil || len(ptrs) != 2 || *ptrs[0] != 7 || ptrs[1] != nil {
			t.Errorf("a nil value was decoded as %v, error %v", ptrs, err)
		}
		bad := append(encode(t, c, 1), encode(t, c, "x")...)
		for _, v := range [][]byte{{}, bad, {0xc1}} {
			if out, err := combiner(t, c).AppendArray([]byte("d"), [][]byte{v}); err == nil || string(out) != "d" {
				t.Errorf("AppendArray of the invalid %x: %x, error %v", v, out, err)
			}
		}
	})
}

type combineArgs struct {
	A        int    `arbiter:"a"`
	B        string `arbiter:"b,optional"`
	Upstream []int  `arbiter:"upstream"`
}

func TestAppendArg(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		want := combineArgs{1, "x", []int{3}}
		for _, args := range []codec.Arguments{
			{Positional: []any{1, "x"}},
			{Named: map[string]any{"a": 1, "b": "x"}},
			{Positional: []any{1}, Named: map[string]any{"b": "x"}},
		} {
			data, err := c.AppendArgs(nil, args)
			if err != nil {
				t.Fatal(err)
			}
			out, err := combiner(t, c).AppendArg(nil, data, "upstream", encode(t, c, []int{3}))
			if err != nil {
				t.Fatal(err)
			}
			var got combineArgs
			if err := c.DecodeArgs(out, &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v with one more argument: %v, error %v", args, got, err)
			}
			if _, err := combiner(t, c).AppendArg(nil, out, "upstream", encode(t, c, 1)); !errors.Is(err, codec.ErrDuplicate) {
				t.Errorf("the same name again: error %v, want ErrDuplicate", err)
			}
		}
		var none []byte
		none, err := c.AppendArgs(none, codec.Arguments{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := combiner(t, c).AppendArg([]byte("d"), none, "upstream", encode(t, c, 5))
		if err != nil {
			t.Fatal(err)
		}
		var got codec.Arguments
		if err := c.DecodeArgs(out[1:], &got); err != nil || !reflect.DeepEqual(got, codec.Arguments{Named: map[string]any{"upstream": int64(5)}}) {
			t.Errorf("an argument added to no arguments: %v, error %v", got, err)
		}
	})
}

func TestAppendArgRefuses(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		ok, one := rawMap(t, c, "a", 1), encode(t, c, 1)
		two := append(append([]byte{}, one...), encode(t, c, "x")...)
		for what, in := range map[string]struct {
			args  []byte
			name  string
			value []byte
		}{
			"no name":         {ok, "", one},
			"bad name":        {ok, "a b", one},
			"no arguments":    {nil, "upstream", one},
			"a number":        {one, "upstream", one},
			"two values":      {ok, "upstream", two},
			"no value":        {ok, "upstream", nil},
			"arguments twice": {append(append([]byte{}, ok...), ok...), "upstream", one},
		} {
			if out, err := combiner(t, c).AppendArg([]byte("d"), in.args, in.name, in.value); err == nil || string(out) != "d" {
				t.Errorf("%s: %x, error %v", what, out, err)
			}
		}
	})
}

// FuzzCombine checks that the results of AppendArg and AppendArray can be decoded and hold the same values.
func FuzzCombine(f *testing.F) {
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		args, _ := c.AppendArgs(nil, codec.Arguments{Positional: []any{1}, Named: map[string]any{"b": "x"}})
		value, _ := c.AppendValue(nil, []any{1, "x", nil})
		f.Add(args, value)
	}
	f.Fuzz(func(t *testing.T, args, value []byte) {
		for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
			var before codec.Arguments
			var v any
			bad := c.DecodeArgs(args, &before) != nil || c.DecodeValue(value, &v) != nil
			j := combiner(t, c)
			if out, err := j.AppendArg(nil, args, "upstream", value); err == nil {
				var after codec.Arguments
				if err := c.DecodeArgs(out, &after); err != nil && !bad {
					t.Errorf("%s: AppendArg of %q and %q is %q, which can't be decoded: %v", c.Name(), args, value, out, err)
				} else if err == nil && len(after.Named) != len(before.Named)+1 && !bad {
					t.Errorf("%s: AppendArg of %q and %q holds %v, want %v and the new one", c.Name(), args, value, after, before)
				}
			} else if !bad && before.Named["upstream"] == nil && len(value) < 1000 {
				if _, has := before.Named["upstream"]; !has {
					t.Errorf("%s: AppendArg of %q and %q: error %v", c.Name(), args, value, err)
				}
			}
			out, err := j.AppendArray(nil, [][]byte{value, value})
			var both []any
			if err == nil && !bad {
				if err := c.DecodeValue(out, &both); err != nil || len(both) != 2 {
					t.Errorf("%s: AppendArray of %q twice is %q: %v", c.Name(), value, out, err)
				}
			}
		}
	})
}
