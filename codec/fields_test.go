package codec_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

// Base is embedded in the structs below.
type Base struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Equal int
}

type lowBase struct {
	Low  int
	Deep *deepBase
	deepBase
}

type deepBase struct {
	Deepest int
	Low     int
}

type Other struct{ Equal int }

// TestFields compares the keys that both codecs write for structs with json tags with the keys wanted.
func TestFields(t *testing.T) {
	five := 5
	for name, tt := range map[string]struct {
		in   any
		keys dict
	}{
		"names": {struct {
			A int
			B int `json:"b"`
			C int `json:",omitempty"`
			D int `json:"-"`
			E int `json:"-,"` //nolint:staticcheck // valid: a field with the name "-"
			f int
		}{1, 2, 3, 4, 5, 6}, dict{"A": int64(1), "b": int64(2), "C": int64(3), "-": int64(5)}},
		"omitempty": {struct {
			A int            `json:"a,omitempty"`
			B string         `json:"b,omitempty"`
			C []int          `json:"c,omitempty"`
			D map[string]int `json:"d,omitempty"`
			E *int           `json:"e,omitempty"`
			F any            `json:"f,omitempty"`
			G struct{}       `json:"g,omitempty"` //nolint:modernize // the option has no effect, and must not have one here
			H [0]int         `json:"h,omitempty"`
			I bool           `json:"i,omitempty"`
			J []int          `json:"j,omitempty"`
		}{C: []int{}, D: map[string]int{}, J: []int{1}}, dict{"g": dict{}, "j": list{int64(1)}}},
		"omitzero": {struct {
			A int       `json:"a,omitzero"`
			B []int     `json:"b,omitzero"`
			T time.Time `json:"t,omitzero"`
			P *int      `json:"p,omitzero"`
			Q *int      `json:"q,omitzero"`
			Z isZero    `json:"z,omitzero"`
			Y isZero    `json:"y,omitzero"`
		}{B: []int{}, T: time.Time{}.In(time.FixedZone("", 0)), Q: &five, Z: isZero{N: 7}}, dict{"b": list{}, "q": int64(5), "y": dict{"N": int64(0)}}},
		"embedded": {struct {
			Base
			More int
		}{Base{1, "n", 2}, 3}, dict{"id": int64(1), "name": "n", "Equal": int64(2), "More": int64(3)}},
		"embedded pointer": {struct{ *Base }{&Base{ID: 1}}, dict{"id": int64(1), "name": "", "Equal": int64(0)}},
		"embedded nil":     {struct{ *Base }{}, dict{}},
		"embedded, named": {struct {
			Base `json:"base"`
		}{Base{ID: 1}}, dict{"base": dict{"id": int64(1), "name": "", "Equal": int64(0)}}},
		"outer wins": {struct {
			Base
			ID int `json:"id"`
		}{Base{1, "n", 2}, 9}, dict{"id": int64(9), "name": "n", "Equal": int64(2)}},
		"rivals": {struct {
			Base
			Other
		}{Base{Equal: 1}, Other{2}}, dict{"id": int64(0), "name": ""}},
		"unexported": {struct {
			lowBase
			High int
		}{lowBase{Low: 1, deepBase: deepBase{Deepest: 2, Low: 9}}, 3}, dict{"Low": int64(1), "Deepest": int64(2), "Deep": nil, "High": int64(3)}},
		"unexported pointer": {struct{ *lowBase }{&lowBase{Low: 1}}, dict{"Low": int64(1), "Deepest": int64(0), "Deep": nil}},
		"embedded time": {struct {
			time.Duration
		}{5}, dict{"Duration": int64(5)}},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				var got any
				data := encode(t, c, tt.in)
				if err := c.DecodeValue(data, &got); err != nil || !reflect.DeepEqual(got, any(tt.keys)) {
					t.Errorf("the keys are %v, error %v; want %v", got, err, tt.keys)
				}
				back := reflect.New(reflect.TypeOf(tt.in))
				err := c.DecodeValue(data, back.Interface())
				if name == "unexported pointer" {
					failure{says: "unexported"}.checkSentinel(t, err)
					return
				}
				if err == nil && name == "omitzero" {
					return // a Z that was left out is decoded as zero, so its IsZero is false
				}
				if again := encode(t, c, back.Elem().Interface()); err != nil || string(again) != string(data) {
					t.Errorf("decoded as %+v, error %v", back.Elem(), err)
				}
			})
		})
	}
}

// isZero is a type whose IsZero reports 7 as zero.
type isZero struct{ N int }

func (z isZero) IsZero() bool { return z.N == 7 }

// TestFieldTags checks that msgpack prefers the msgpack tag to the json tag.
func TestFieldTags(t *testing.T) {
	type both struct {
		A int `json:"j"           msgpack:"m"`
		B int `json:"b"           msgpack:",omitempty"`
		C int `json:"c"           msgpack:"-"`
		D int `json:"-"           msgpack:"d"`
		E int `json:"e,omitempty" msgpack:""`
	}
	for c, want := range map[codec.Codec]dict{
		codec.Msgpack(): {"m": int64(1), "d": int64(3), "E": int64(0)},
		codec.JSON():    {"j": int64(1), "b": int64(0), "c": int64(2)},
	} {
		var got any
		if err := c.DecodeValue(encode(t, c, both{A: 1, C: 2, D: 3}), &got); err != nil || !reflect.DeepEqual(got, any(want)) {
			t.Errorf("%s: keys %v, error %v; want %v", c.Name(), got, err, want)
		}
	}
}

// TestFieldOrder checks that the fields can be in any order. JSON ignores the case of names, msgpack does not.
func TestFieldOrder(t *testing.T) {
	type abc struct {
		A int `json:"a"`
		B int `json:"b"`
		C int `json:"c"`
	}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		for _, raw := range [][]byte{
			rawMap(t, c, "a", 1, "b", 2, "c", 3), rawMap(t, c, "c", 3, "b", 2, "a", 1), rawMap(t, c, "b", 2, "x", 0, "c", 3, "a", 1),
			rawMap(t, c, "a", 9, "b", 9, "c", 3, "a", 1, "b", 2),
		} {
			var got abc
			if err := c.DecodeValue(raw, &got); err != nil || got != (abc{1, 2, 3}) {
				t.Errorf("%q was decoded as %v, error %v", raw, got, err)
			}
		}
	})
	var got abc
	if err := codec.Msgpack().DecodeValue([]byte("\x81\xa1A\x01"), &got); err != nil || got.A != 0 {
		t.Errorf("msgpack with other case was decoded as %v, error %v", got, err)
	}
}

// TestNoFields checks that msgpack refuses a struct type with only unexported fields.
func TestNoFields(t *testing.T) {
	for _, v := range []any{struct{ a int }{1}, errOnPurpose, struct{ W struct{ w int } }{}} {
		_, err := codec.Msgpack().AppendValue(nil, v)
		failure{is: codec.ErrUnsupported, says: "no exported fields"}.checkSentinel(t, err)
	}
	if data := encode(t, codec.Msgpack(), struct{}{}); string(data) != "\x80" {
		t.Errorf("%q", data)
	}
}
