package codec_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

// TestAny decodes into the type any, in every kind of value that can contain one.
func TestAny(t *testing.T) {
	type holder struct {
		V any            `json:"v"`
		L []any          `json:"l"`
		M map[string]any `json:"m"`
		P *struct {
			A [1]any         `json:"a"`
			N map[int]*[]any `json:"n"`
		} `json:"p"`
	}
	for _, tt := range []struct{ in, want any }{
		{nil, nil}, {true, true}, {"s", "s"}, {rawText("t"), "t"},
		{int8(5), int64(5)}, {-70_000, int64(-70_000)}, {uint8(200), int64(200)}, {uint64(math.MaxInt64), int64(math.MaxInt64)},
		{uint64(math.MaxUint64), uint64(math.MaxUint64)}, {int64(math.MinInt64), int64(math.MinInt64)}, {time.Second, int64(1e9)},
		{1.5, 1.5}, {float32(0.5), 0.5}, {-1e300, -1e300},
		{[]int{1}, []any{int64(1)}}, {[2]string{"a", "b"}, []any{"a", "b"}}, {[]any{}, []any{}}, {[]int(nil), nil},
		{map[string]int{"a": 1}, map[string]any{"a": int64(1)}}, {map[string]int{}, map[string]any{}}, {pairArgs{1, 2}, map[string]any{"X": int64(1), "Y": int64(2)}},
	} {
		bothCodecs(t, func(t *testing.T, c codec.Codec) {
			var got any = "old"
			if err := c.DecodeValue(encode(t, c, tt.in), &got); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%T(%v) was decoded as %T(%v), error %v", tt.in, tt.in, got, got, err)
			}
			var h holder
			in := dict{"v": tt.in, "l": list{tt.in}, "m": dict{"k": tt.in}, "p": dict{"a": list{tt.in}, "n": map[int]any{1: list{tt.in}}}}
			if err := c.DecodeValue(encode(t, c, in), &h); err != nil {
				t.Fatal(err)
			}
			for _, got := range []any{h.V, h.L[0], h.M["k"], h.P.A[0], (*h.P.N[1])[0]} {
				if !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%T(%v) was decoded as %T(%v) in %+v", tt.in, tt.in, got, got, h)
				}
			}
			var a codec.Arguments
			if err := c.DecodeArgs(mustArgs(t, c, mixed(list{tt.in}, dict{"n": tt.in})), &a); err != nil || !reflect.DeepEqual(a, mixed(list{tt.want}, dict{"n": tt.want})) {
				t.Errorf("%T(%v) was decoded as %+v, error %v", tt.in, tt.in, a, err)
			}
		})
	}
}

// TestAnyMsgpack decodes values of any that JSON does not have.
func TestAnyMsgpack(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, tt := range []struct{ in, want any }{
		{[]byte{1}, []byte{1}}, {[2]byte{1, 2}, []byte{1, 2}}, {at, at}, {at.In(time.FixedZone("X", 3600)), at}, {1.0, 1.0},
		{map[int]string{1: "a"}, map[any]any{int64(1): "a"}},
		{map[any]any{"a": 1, 2: "b", true: nil, nil: 1.5, 0.5: 1, at: "t", rawText("r"): 1},
			map[any]any{"a": int64(1), int64(2): "b", true: nil, nil: 1.5, 0.5: int64(1), at: "t", "r": int64(1)}},
		{map[any]any{"a": 1}, map[string]any{"a": int64(1)}},
	} {
		for range 3 { // the order of a map is random
			var got any
			data := encode(t, codec.Msgpack(), tt.in)
			if err := codec.Msgpack().DecodeValue(data, &got); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%T(%v) was decoded as %T(%v), error %v", tt.in, tt.in, got, got, err)
			}
			if again := encode(t, codec.Msgpack(), got); tt.want != nil && string(again) != string(encode(t, codec.Msgpack(), tt.want)) {
				t.Errorf("%v is not encoded as %v", got, tt.want)
			}
		}
	}
	for _, m := range []map[any]any{{1: 1, int8(1): 2}, {"a": 1, rawText("a"): 2}} {
		_, err := codec.Msgpack().AppendValue(nil, m)
		failure{is: codec.ErrDuplicate}.check(t, "msgpack", err)
	}
	for _, m := range []map[any]any{{math.NaN(): 1}, {[1]int{1}: 1}, {struct{}{}: 1}} {
		_, err := codec.Msgpack().AppendValue(nil, m)
		failure{is: codec.ErrUnsupported}.check(t, "msgpack", err)
	}
	_, err := codec.JSON().AppendValue(nil, map[any]any{1: 1})
	failure{is: codec.ErrUnsupported}.check(t, "json", err)
}

// TestAnyJSON checks the Go type for each kind of literal.
func TestAnyJSON(t *testing.T) {
	for literal, want := range map[string]any{
		"0": int64(0), "-0": int64(0), "-5": int64(-5), "9223372036854775807": int64(math.MaxInt64), "9223372036854775808": uint64(1 << 63),
		"18446744073709551615": uint64(math.MaxUint64), "18446744073709551616": 18446744073709551616.0, "-9223372036854775809": -9223372036854775809.0,
		"1.0": 1.0, "1e2": 100.0, "1E2": 100.0, "-0.0": math.Copysign(0, -1), `"AQI="`: "AQI=", `"é\u00e9\n"`: "éé\n", ` [ 1 , {} , [ ] ] `: list{int64(1), dict{}, list{}},
		`{"a\u0062":{"c" : null} , "d":true}`: dict{"ab": dict{"c": nil}, "d": true}, `{"a":1,"a":2}`: dict{"a": int64(2)},
		"\"\xff\"": "\ufffd", `"\ud800"`: "\ufffd",
	} {
		var got any
		if err := codec.JSON().DecodeValue([]byte(literal), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s was decoded as %T(%v), error %v; want %T(%v)", literal, got, got, err, want, want)
		}
		var in []any
		if err := codec.JSON().DecodeValue([]byte("["+literal+"]"), &in); err != nil || !reflect.DeepEqual(in[0], want) {
			t.Errorf("%s in a slice was decoded as %T(%v), error %v; want %T(%v)", literal, in[0], in[0], err, want, want)
		}
	}
	var v any
	var typed struct {
		L []any          `json:"l"`
		M map[string]any `json:"m"`
	}
	huge := strings.Repeat("9", 400)
	failure{codec.ErrOverflow, "", "overflows float64"}.check(t, "json", codec.JSON().DecodeValue([]byte(huge), &v))
	failure{codec.ErrOverflow, "[0][key 0]", "a number with a fraction or an exponent does not fit"}.check(t, "json", codec.JSON().DecodeValue([]byte(`[{"k":1e999}]`), &v))
	failure{codec.ErrOverflow, "l[1][0]", ""}.check(t, "json", codec.JSON().DecodeValue([]byte(`{"l":[1,[1e999]]}`), &typed))
	failure{codec.ErrOverflow, "m[key][key]", ""}.check(t, "json", codec.JSON().DecodeValue([]byte(`{"m":{"k":{"j":1e999}}}`), &typed))
	failure{codec.ErrOverflow, "a", ""}.check(t, "json", codec.JSON().DecodeArgs([]byte(`{"a":1e999}`), new(codec.Arguments)))
	if err := codec.JSON().DecodeArgs([]byte(`[1e999]`), new(codec.Arguments)); !errors.Is(err, codec.ErrOverflow) {
		t.Error(err)
	}
}
