package codec_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

type treeNode struct {
	Value int         `json:"value"`
	Kids  []*treeNode `json:"kids,omitempty"`
	Next  *treeNode   `json:"next,omitempty"`
}

type byteType uint8

// TestRoundTrip checks that a value that is encoded and decoded is equal to the original.
func TestRoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	one := 1
	values := []any{
		true, false, 0, -1, 127, 128, -32, -33, int8(-128), int16(-129), int32(math.MinInt32), int64(math.MinInt64), int64(math.MaxInt64),
		uint(1), uint8(255), uint16(256), uint32(math.MaxUint32), uint64(math.MaxUint64), uintptr(7),
		1.5, -0.25, math.MaxFloat64, math.SmallestNonzeroFloat64, float32(1.5), float32(math.MaxFloat32),
		"", "ä\x00z", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("x", 256), strings.Repeat("x", 70_000),
		[]byte{}, []byte(nil), []byte{0, 255}, make([]byte, 300), make([]byte, 70_000), []byteType{1, 2}, [3]byte{1, 2, 3}, [2]byteType{4, 5},
		[]int{}, []int(nil), []int{1, -2}, make([]int16, 20), make([]bool, 70_000), [2]string{"a", "b"}, [0]int{}, []struct{}{{}, {}},
		map[string]int{}, map[string]int(nil), map[string]int{"b": 2, "a": 1}, map[int]string{-1: "x", 300: "y"}, map[uint8]bool{200: true},
		map[rawText]int{"k": 1}, map[string][]map[string]int{"a": {{"b": 1}, nil}}, map[byteType][2]int{1: {2, 3}},
		&one, (*int)(nil), []*int{nil, &one}, map[string]*int{"nil": nil, "one": &one},
		struct{}{}, treeNode{Value: 1, Kids: []*treeNode{{Value: 2}, {Value: 3, Next: &treeNode{}}}},
		struct{ A, B any }{int64(1), "x"}, time.Second, at, &at, time.Date(1900, 1, 1, 0, 0, 0, 1, time.UTC), time.Time{},
		time.Date(2600, 1, 1, 0, 0, 0, 0, time.UTC), map[string]any{"a": nil}, []any{int64(1), "a"}, []any(nil), map[string]any(nil),
	}
	big := make(map[int]int)
	for i := range 1000 {
		big[i] = -i
	}
	for _, v := range append(values, big) {
		bothCodecs(t, func(t *testing.T, c codec.Codec) {
			data := encode(t, c, v)
			if again := encode(t, c, v); string(again) != string(data) {
				t.Fatalf("%#v has two encodings, %.100q and %.100q", v, data, again)
			}
			got := reflect.New(reflect.TypeOf(v))
			if err := c.DecodeValue(data, got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), v) {
				t.Fatalf("%T: %.100v was decoded as %.100v, error %v", v, v, got.Elem(), err)
			}
		})
	}
}

// TestEveryCut checks that no shorter prefix of an encoding is valid, and neither is the encoding with a byte
// after it. Numbers in JSON are the exception, since a prefix of a number is a number.
func TestEveryCut(t *testing.T) {
	v := map[string]any{
		"node": treeNode{Value: 300, Kids: []*treeNode{{Value: -70_000}}}, "bytes": make([]byte, 40), "string": strings.Repeat("x", 40),
		"time": time.Unix(1, 1).UTC(), "floats": []any{float32(1.5), 2.5}, "big": []uint64{1 << 33, math.MaxUint64}, "nil": nil,
	}
	type typed struct {
		Node   treeNode  `json:"node"`
		Bytes  []byte    `json:"bytes"`
		String string    `json:"string"`
		Time   time.Time `json:"time"`
		Floats []float32 `json:"floats"`
		Big    []uint64  `json:"big"`
	}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		data := encode(t, c, v)
		for _, dest := range []func() any{
			func() any { return new(any) }, func() any { return new(typed) }, func() any { return new(map[string]any) },
		} {
			if err := c.DecodeValue(data, dest()); err != nil {
				t.Fatal(err)
			}
			for n := range data {
				failure{is: codec.ErrTruncated}.checkSentinel(t, c.DecodeValue(data[:n], dest()))
			}
			for _, b := range []byte{0, '1', 0xc0, '{', 0xc1} {
				failure{is: codec.ErrTrailing, says: "1 bytes after"}.checkSentinel(t, c.DecodeValue(append(data[:len(data):len(data)], b), dest())) //nolint:modernize // the test has a type slices
			}
		}
	})
}

func TestStrict(t *testing.T) {
	type opts struct {
		Sizes []int16          `json:"sizes"`
		Map   map[string]uint8 `json:"map"`
		Arr   [2]int8          `json:"arr"`
		Ptr   *opts            `json:"ptr"`
		Text  string           `json:"text"`
	}
	overflow, wrong := codec.ErrOverflow, codec.ErrType
	for name, tt := range map[string]struct {
		in   any
		dest any
		want failure
	}{
		"int8":               {300, new(int8), failure{overflow, "", "a number overflows int8"}},
		"int8 negative":      {-129, new(int8), failure{overflow, "", "a number overflows int8"}},
		"int16":              {32768, new(int16), failure{overflow, "", "a number overflows int16"}},
		"int32":              {int64(1) << 31, new(int32), failure{is: overflow}},
		"int64":              {uint64(1) << 63, new(int64), failure{is: overflow}},
		"uint8":              {256, new(uint8), failure{is: overflow}},
		"uint negative":      {-1, new(uint), failure{overflow, "", "a number overflows uint"}},
		"duration":           {uint64(math.MaxUint64), new(time.Duration), failure{is: overflow, says: "time.Duration"}},
		"fraction":           {1.5, new(int), failure{overflow, "", "a number with a fraction or an exponent does not fit int"}},
		"fraction uint":      {0.5, new(uint), failure{is: overflow}},
		"float too big":      {1e300, new(int64), failure{is: overflow}},
		"float32":            {1e300, new(float32), failure{overflow, "", "a number with a fraction or an exponent does not fit float32"}},
		"float32 negative":   {-1e39, new(float32), failure{is: overflow}},
		"map key":            {map[int]int{300: 1}, new(map[int8]int), failure{overflow, "[key 0]", "a number overflows int8"}},
		"string for int":     {"1", new(int), failure{wrong, "", "found string, want int"}},
		"int for string":     {1, new(string), failure{wrong, "", "found number, want string"}},
		"bool for int":       {true, new(int), failure{wrong, "", "found bool, want int"}},
		"int for bool":       {1, new(bool), failure{is: wrong}},
		"string for float":   {"1", new(float64), failure{is: wrong}},
		"array for int":      {list{}, new(int), failure{wrong, "", "found array, want int"}},
		"int for slice":      {1, new([]int), failure{is: wrong}},
		"int for bytes":      {1, new([]byte), failure{is: wrong}},
		"int for map":        {1, new(map[string]int), failure{is: wrong}},
		"array for map":      {list{}, new(map[string]any), failure{is: wrong}},
		"int for struct":     {1, new(opts), failure{is: wrong}},
		"array for struct":   {list{}, new(opts), failure{is: wrong}},
		"map for slice":      {dict{}, new([]any), failure{is: wrong}},
		"bool for time":      {true, new(time.Time), failure{}},
		"string for int key": {map[string]int{"a": 1}, new(map[int]int), failure{wrong, "[key 0]", "want int"}},
		"array too short":    {list{1}, new([2]int), failure{wrong, "", "found 1 elements, want [2]int"}},
		"array too long":     {list{1, 2, 3}, new([2]int), failure{wrong, "", "found 3 elements, want [2]int"}},
		"null for int":       {nil, new(int), failure{wrong, "", "found null, want int"}},
		"null for string":    {nil, new(string), failure{is: wrong}},
		"null for bool":      {nil, new(bool), failure{is: wrong}},
		"null for struct":    {nil, new(opts), failure{is: wrong}},
		"null for array":     {nil, new([1]int), failure{is: wrong}},
		"null for time":      {nil, new(time.Time), failure{is: wrong}},
		"interface":          {1, new(error), failure{}},
		"in slice":           {list{list{1}, list{1, 300}}, new([][]int8), failure{overflow, "[1][1]", "a number overflows int8"}},
		"in map":             {dict{"a b": 300}, new(map[string]int8), failure{overflow, "[key 0]", "a number overflows int8"}},
		"in map by name":     {dict{"ab": 300}, new(map[string]int8), failure{overflow, "[key 0]", "a number overflows int8"}},
		"in struct":          {dict{"sizes": list{1, 2, 70000}}, new(opts), failure{overflow, "sizes[2]", "int16"}},
		"in struct's map":    {dict{"ptr": dict{"map": dict{"k": -1}}}, new(opts), failure{overflow, "ptr.map[key 0]", "a number overflows uint8"}},
		"in struct's array":  {dict{"ptr": dict{"ptr": dict{"arr": list{1}}}}, new(opts), failure{wrong, "ptr.ptr.arr", "found 1 elements"}},
		"in struct in map":   {dict{"x": list{dict{"text": nil}}}, new(map[string][]opts), failure{wrong, "[key 0][0].text", "null"}},
		"in array":           {list{dict{}, dict{"text": 1}}, new([2]opts), failure{wrong, "[1].text", "want string"}},
		"null in slice":      {list{1, nil}, new([]int), failure{wrong, "[1]", "found null, want int"}},
		"null in map":        {dict{"k": nil}, new(map[string]int), failure{wrong, "[key 0]", ""}},
		"behind any": {list{dict{"n": list{1, "x", 300}}}, new([]struct {
			N [3]any
			M int8 `json:"n"`
		}), failure{wrong, "[0].n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				err := c.DecodeValue(encode(t, c, tt.in), tt.dest)
				if tt.want == (failure{}) {
					failure{}.checkSentinel(t, err)
					return
				}
				tt.want.check(t, c.Name(), err)
			})
		})
	}
}

// TestLenient has values that are decoded without an error although their types differ.
func TestLenient(t *testing.T) {
	type v1 struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	nilInt := (*int)(nil)
	for name, tt := range map[string]struct{ in, want any }{
		"unknown nested key":  {dict{"a": 1, "b": 2, "c": dict{"d": list{1, "x", nil}}}, v1{1, 2}},
		"missing nested key":  {dict{"b": 2}, v1{0, 2}},
		"int for float":       {3, 3.0},
		"int for float32":     {-3, float32(-3)},
		"float64 for float32": {0.5, float32(0.5)},
		"wide int":            {int64(5), int8(5)},
		"null for pointer":    {nil, nilInt},
		"null for slice":      {nil, []int(nil)},
		"null for bytes":      {nil, []byte(nil)},
		"null for map":        {nil, map[string]int(nil)},
		"null for any map":    {nil, map[string]any(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				got := reflect.New(reflect.TypeOf(tt.want))
				if err := c.DecodeValue(encode(t, c, tt.in), got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), tt.want) {
					t.Errorf("decoded as %v, error %v; want %v", got.Elem(), err, tt.want)
				}
			})
		})
	}
}

type pointerLoop *pointerLoop

func TestEncodeRefuses(t *testing.T) {
	cycle := &treeNode{}
	cycle.Next = cycle
	var anyLoop any
	anyLoop = &anyLoop
	selfMap := dict{}
	selfMap["self"] = selfMap
	selfSlice := list{nil}
	selfSlice[0] = selfSlice
	var loop pointerLoop
	loop = &loop
	for name, tt := range map[string]struct {
		in   any
		want error
	}{
		"chan":         {make(chan int), codec.ErrUnsupported},
		"nil chan":     {(chan int)(nil), codec.ErrUnsupported},
		"func":         {func() {}, codec.ErrUnsupported},
		"complex":      {complex(1, 2), codec.ErrUnsupported},
		"in struct":    {struct{ C chan int }{}, codec.ErrUnsupported},
		"in slice":     {[]complex64{1}, codec.ErrUnsupported},
		"struct key":   {map[struct{ A int }]int{{1}: 1}, codec.ErrUnsupported},
		"array key":    {map[[1]int]int{{1}: 1}, codec.ErrUnsupported},
		"float key":    {map[float64]int{1: 1}, codec.ErrUnsupported},
		"bool key":     {map[bool]int{true: 1}, codec.ErrUnsupported},
		"pointer key":  {map[*int]int{nil: 1}, codec.ErrUnsupported},
		"cycle":        {cycle, codec.ErrTooDeep},
		"cyclic any":   {anyLoop, codec.ErrTooDeep},
		"cyclic map":   {selfMap, codec.ErrTooDeep},
		"cyclic slice": {selfSlice, codec.ErrTooDeep},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				_, err := c.AppendValue(nil, tt.in)
				failure{is: tt.want}.checkSentinel(t, err)
				_, err = c.AppendArgs(nil, positional(1, tt.in))
				failure{is: tt.want}.checkSentinel(t, err)
				_, err = c.AppendArgs(nil, struct{ V any }{tt.in})
				failure{is: tt.want}.checkSentinel(t, err)
			})
		})
	}
	_, err := codec.Msgpack().AppendValue(nil, loop)
	failure{is: codec.ErrUnsupported}.check(t, "msgpack", err)
	failure{is: codec.ErrUnsupported}.check(t, "msgpack", codec.Msgpack().DecodeValue([]byte{1}, &loop))
}

// nest returns n nested arrays.
func nest(n int) any {
	var v any
	for range n {
		v = list{v}
	}
	return v
}

type slices []slices
type mapsOf map[string]mapsOf

// TestDepth checks that values can be nested 1000 levels deep, and no deeper, for each kind of value.
func TestDepth(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		data := encode(t, c, nest(1000))
		var v any
		if err := c.DecodeValue(data, &v); err != nil || !reflect.DeepEqual(v, nest(1000)) {
			t.Errorf("a value of 1000 levels: error %v", err)
		}
		_, err := c.AppendValue(nil, nest(1001))
		failure{is: codec.ErrTooDeep}.checkSentinel(t, err)
		_, err = c.AppendArgs(nil, positional(nest(1000)))
		failure{is: codec.ErrTooDeep}.checkSentinel(t, err)
		_, err = c.AppendArgs(nil, struct{ V any }{nest(1000)})
		failure{is: codec.ErrTooDeep}.checkSentinel(t, err)

		args := mustArgs(t, c, positional(nest(999)))
		if err := c.DecodeArgs(args, new(codec.Arguments)); err != nil {
			t.Error(err)
		}
		if err := c.DecodeArgs(args, &struct{ V any }{}); err != nil {
			t.Error(err)
		}

		opening, closing, key := "\x91", "", "\x81\xa1k"
		if c.Name() == "json" {
			opening, closing, key = "[", "]", `{"k":`
		}
		deep := []byte(strings.Repeat(opening, 100_000) + "\x90" + strings.Repeat(closing, 100_000))
		deepMap := []byte(strings.Repeat(key, 100_000) + "\x80")
		if c.Name() == "json" {
			deep = []byte(strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000))
			deepMap = []byte(strings.Repeat(key, 9_000) + "1" + strings.Repeat("}", 9_000))
		}
		for _, dest := range []any{&v, new(slices), new(list)} {
			failure{is: codec.ErrTooDeep}.checkSentinel(t, c.DecodeValue(deep, dest))
		}
		for _, dest := range []any{&v, new(mapsOf), new(dict), new(treeNode)} {
			failure{is: codec.ErrTooDeep}.checkSentinel(t, c.DecodeValue(deepMap, dest))
		}
		failure{is: codec.ErrTooDeep}.checkSentinel(t, c.DecodeArgs(deep, new(codec.Arguments)))
		failure{is: codec.ErrTooDeep}.checkSentinel(t, c.DecodeArgs(deepMap, &struct {
			K any `arbiter:"k"`
		}{}))
	})
}
