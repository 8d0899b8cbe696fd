package codec_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

func codecs() []codec.Codec { return []codec.Codec{codec.Msgpack(), codec.JSON()} }

type pairArgs struct {
	X int8 `arbiter:"x"`
	Y int  `arbiter:"y"`
}

type optionalArgs struct {
	Name  string   `arbiter:"name"`
	Loud  bool     `arbiter:"loud,optional"`
	Words []string `arbiter:"words,variadic"`
}

type nested struct {
	A     uint8             `msgpack:"a" json:"a"`
	Sizes []int16           `msgpack:"sizes" json:"sizes"`
	Map   map[string]uint32 `msgpack:"map" json:"map"`
	Next  *nested           `msgpack:"next,omitempty" json:"next,omitempty"`
	At    time.Time         `msgpack:"at" json:"at"`
	Raw   []byte            `msgpack:"raw" json:"raw"`
	F     float32           `msgpack:"f" json:"f"`
}

type nestedArgs struct {
	Opts nested `arbiter:"opts"`
}

func TestArgsForms(t *testing.T) {
	type call struct {
		in   any
		want any
		err  error
		says string
	}
	for _, c := range codecs() {
		for name, tt := range map[string]call{
			"struct":              {in: pairArgs{1, 2}, want: pairArgs{1, 2}},
			"pointer":             {in: &pairArgs{1, 2}, want: pairArgs{1, 2}},
			"positional":          {in: codec.Arguments{Positional: []any{1, 2}}, want: pairArgs{1, 2}},
			"named":               {in: codec.Arguments{Named: map[string]any{"y": 2, "x": 1}}, want: pairArgs{1, 2}},
			"mixed":               {in: codec.Arguments{Positional: []any{1}, Named: map[string]any{"y": 2}}, want: pairArgs{1, 2}},
			"too few":             {in: codec.Arguments{Positional: []any{1}}, want: pairArgs{}, err: codec.ErrMissing},
			"too many":            {in: codec.Arguments{Positional: []any{1, 2, 3}}, want: pairArgs{}, err: codec.ErrUnknown, says: "3"},
			"none":                {in: codec.Arguments{}, want: pairArgs{}, err: codec.ErrMissing},
			"missing":             {in: codec.Arguments{Named: map[string]any{"x": 1}}, want: pairArgs{}, err: codec.ErrMissing, says: "y"},
			"unknown":             {in: codec.Arguments{Named: map[string]any{"x": 1, "y": 2, "z": 3}}, want: pairArgs{}, err: codec.ErrUnknown, says: "z"},
			"overflow":            {in: codec.Arguments{Positional: []any{300, 2}}, want: pairArgs{}, err: codec.ErrOverflow, says: "x"},
			"wrong type":          {in: codec.Arguments{Positional: []any{1, "2"}}, want: pairArgs{}, err: codec.ErrType, says: "y"},
			"fraction":            {in: codec.Arguments{Positional: []any{1, 2.5}}, want: pairArgs{}, says: "y"},
			"optional left out":   {in: codec.Arguments{Named: map[string]any{"name": "n"}}, want: optionalArgs{Name: "n"}},
			"variadic positional": {in: codec.Arguments{Positional: []any{"n", true, "a", "b"}}, want: optionalArgs{"n", true, []string{"a", "b"}}},
			"variadic none":       {in: codec.Arguments{Positional: []any{"n", true}}, want: optionalArgs{Name: "n", Loud: true}},
			"nested overflow":     {in: codec.Arguments{Named: map[string]any{"opts": map[string]any{"sizes": []int{1, 2, 70000}}}}, want: nestedArgs{}, err: codec.ErrOverflow, says: "opts.sizes[2]"},
			"nested unknown":      {in: codec.Arguments{Named: map[string]any{"opts": map[string]any{"new": 1, "a": 7}}}, want: nestedArgs{nested{A: 7}}},
		} {
			t.Run(c.Name()+"/"+name, func(t *testing.T) {
				data, err := c.AppendArgs([]byte("prefix"), tt.in)
				if err != nil {
					t.Fatal(err)
				}
				data = data[len("prefix"):]
				got := reflect.New(reflect.TypeOf(tt.want))
				err = c.DecodeArgs(data, got.Interface())
				if tt.err == nil && tt.says == "" {
					if err != nil || !sameArgs(got.Elem().Interface(), tt.want) {
						t.Errorf("got %+v, %v, want %+v", got.Elem(), err, tt.want)
					}
					return
				}
				var e *codec.Error
				if !errors.As(err, &e) || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(strings.ToLower(err.Error()), tt.says) {
					t.Errorf("error %v, want %v that says %q", err, tt.err, tt.says)
				}
			})
		}
	}
}

// sameArgs takes an empty slice for nil: the wire has no difference for some.
func sameArgs(a, b any) bool {
	return reflect.DeepEqual(a, b) || fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

func TestGoldenArgs(t *testing.T) {
	for name, want := range map[string]string{
		"msgpack": "\x82\xa1x\x01\xa1y\xcd\x01\x2c",
		"json":    `{"x":1,"y":300}`,
	} {
		c, err := codec.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.AppendArgs(nil, pairArgs{1, 300}); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	deep := nested{A: 255, Sizes: []int16{-1, 32767}, Map: map[string]uint32{"b": 2, "a": math.MaxUint32}, Next: &nested{F: 1.5}, At: at, Raw: []byte{0, 1, 255}}
	for _, c := range codecs() {
		for _, v := range []any{
			1, -1, int8(-128), int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64), uint8(255), 1.5, float32(1.5),
			true, "", "ä\x00z", []byte{1, 2}, []int{1, 2, 3}, [2]string{"a", "b"}, map[string]int{"a": 1}, map[int]string{1: "x"},
			deep, &deep, time.Second, at,
		} {
			t.Run(fmt.Sprintf("%s/%T", c.Name(), v), func(t *testing.T) {
				data, err := c.AppendValue(nil, v)
				if err != nil {
					t.Fatal(err)
				}
				again, err := c.AppendValue(nil, v)
				if err != nil || string(again) != string(data) {
					t.Errorf("equal values, other bytes: %q and %q", data, again)
				}
				got := reflect.New(reflect.TypeOf(v))
				if err := c.DecodeValue(data, got.Interface()); err != nil {
					t.Fatal(err)
				}
				back, err := c.AppendValue(nil, got.Elem().Interface())
				if err != nil || string(back) != string(data) {
					t.Errorf("%+v came back as %+v", v, got.Elem())
				}
				for n := range data {
					if err := c.DecodeValue(data[:n], reflect.New(reflect.TypeOf(v)).Interface()); err == nil && c.Name() == "msgpack" {
						t.Errorf("cut after %d of %d bytes, and no error", n, len(data))
					}
				}
				if err := c.DecodeValue(append(data[:len(data):len(data)], data...), reflect.New(reflect.TypeOf(v)).Interface()); err == nil {
					if _, number := v.(int); !number && c.Name() == "msgpack" {
						t.Error("trailing bytes, and no error")
					}
				}
			})
		}
	}
}

func TestAnyRule(t *testing.T) {
	for _, c := range codecs() {
		for _, tt := range []struct{ in, want any }{
			{int8(5), int64(5)}, {uint8(200), int64(200)}, {uint64(math.MaxUint64), uint64(math.MaxUint64)}, {-70000, int64(-70000)},
			{1.5, 1.5}, {"s", "s"}, {true, true}, {nil, nil}, {[]int{1}, []any{int64(1)}}, {map[string]int{"a": 1}, map[string]any{"a": int64(1)}},
		} {
			data, err := c.AppendValue(nil, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			var got any
			if err := c.DecodeValue(data, &got); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %T(%v) came as %T(%v), %v", c.Name(), tt.in, tt.in, got, got, err)
			}
		}
	}
}

type cyclic struct{ Next *cyclic }

type panics struct{}

func (*panics) MarshalText() ([]byte, error) { panic("on purpose") }

func TestRefused(t *testing.T) {
	loop := &cyclic{}
	loop.Next = loop
	for _, c := range codecs() {
		for name, v := range map[string]any{
			"chan": make(chan int), "func": func() {}, "complex": complex(1, 2), "cycle": loop,
			"struct": struct{ C chan int }{}, "map key": map[[1]int]int{{1}: 1}, "panic": &panics{},
		} {
			if _, err := c.AppendValue(nil, v); err == nil {
				t.Errorf("%s: %s is encoded", c.Name(), name)
			} else {
				t.Logf("%s: %v", name, err)
			}
		}
		for name, v := range map[string]any{"int": 1, "nil": nil, "nil pointer": (*pairArgs)(nil), "map": map[string]any{}} {
			if _, err := c.AppendArgs(nil, v); err == nil {
				t.Errorf("%s: %s is taken for arguments", c.Name(), name)
			}
		}
	}
	for name, typ := range map[string]reflect.Type{
		"int": reflect.TypeFor[int](), "chan field": reflect.TypeFor[struct{ Done chan int }](),
		"two names": reflect.TypeFor[struct {
			A int `arbiter:"x"`
			B int `arbiter:"x"`
		}](),
		"bad name": reflect.TypeFor[struct {
			A int `arbiter:"a b"`
		}](),
	} {
		if err := codec.CheckArgs(typ); err == nil {
			t.Errorf("%s can be arguments", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	if _, err := codec.ByName("pickle"); !errors.Is(err, codec.ErrUnknownCodec) {
		t.Error(err)
	}
}

func TestHugeLengths(t *testing.T) {
	for _, data := range []string{"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x01"} {
		for _, target := range []any{new(any), new([]int), new(map[string]int), new([]byte), new(string), new([4]int)} {
			if err := codec.Msgpack().DecodeValue([]byte(data), target); err == nil {
				t.Errorf("%q into %T: no error", data, target)
			}
		}
	}
	deep := strings.Repeat("\x91", 100_000) + "\x01"
	var v any
	if err := codec.Msgpack().DecodeValue([]byte(deep), &v); !errors.Is(err, codec.ErrTooDeep) {
		t.Errorf("%.100v", err)
	}
	if err := codec.JSON().DecodeValue([]byte(strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), &v); err == nil {
		t.Error("deep JSON: no error")
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range codecs() {
		for _, v := range []any{1, "s", []any{1, "a", nil}, map[string]any{"x": 1, "y": 2}, nested{At: time.Unix(1, 0)}} {
			data, err := c.AppendValue(nil, v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range codecs() {
			for _, target := range []func() any{
				func() any { return new(any) }, func() any { return new(nested) }, func() any { return new([]int8) },
				func() any { return new(map[string]uint16) }, func() any { return new(time.Time) },
			} {
				v := target()
				if c.DecodeValue(data, v) != nil {
					continue
				}
				one, err := c.AppendValue(nil, v)
				if err != nil {
					continue // such as a year that JSON can't write
				}
				w := target()
				if err := c.DecodeValue(one, w); err != nil {
					t.Fatalf("%s: %q was decoded to %#v, and what that is encoded to is refused: %v", c.Name(), data, v, err)
				}
				if two, err := c.AppendValue(nil, w); err != nil || string(one) != string(two) {
					t.Fatalf("%s: %q and %q, %v", c.Name(), one, two, err)
				}
			}
			_ = c.DecodeArgs(data, new(pairArgs))
			_ = c.DecodeArgs(data, new(optionalArgs))
			_ = c.DecodeArgs(data, new(codec.Arguments))
		}
	})
}

func ExampleCodec() {
	type Args struct {
		X int `arbiter:"x"`
		Y int `arbiter:"y,optional"`
	}
	c := codec.JSON()
	data, err := c.AppendArgs(nil, Args{X: 1, Y: 2})
	fmt.Println(string(data), err)

	var args Args
	fmt.Println(c.DecodeArgs([]byte(`[1]`), &args), args.X)
	fmt.Println(c.DecodeArgs([]byte(`{"x": 1, "z": 3}`), &args))
	// Output:
	// {"x":1,"y":2} <nil>
	// <nil> 1
	// json: z: unknown parameter; there are x, y
}
