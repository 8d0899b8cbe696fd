package codec_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/vmihailenco/msgpack/v5"
)

// TestMsgpackGolden checks the exact encoding: running systems have such bytes in their queues.
func TestMsgpackGolden(t *testing.T) {
	type nested struct {
		First  int    `json:"first"`
		Second string `json:"second,omitempty"`
	}
	for want, v := range map[string]any{
		"\xc0":                                 nil,
		"\xc3":                                 true,
		"\x00":                                 0,
		"\x7f":                                 int64(127),
		"\xcc\x80":                             128,
		"\xcd\x01\x00":                         256,
		"\xce\x00\x01\x00\x00":                 65536,
		"\xcf\x00\x00\x00\x01\x00\x00\x00\x00": int64(1) << 32,
		"\xcf\xff\xff\xff\xff\xff\xff\xff\xff": uint64(math.MaxUint64),
		"\xff":                                 -1,
		"\xe0":                                 -32,
		"\xd0\xdf":                             -33,
		"\xd1\xff\x7f":                         -129,
		"\xd2\xff\xff\x7f\xff":                 -32769,
		"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff": int64(math.MinInt32) - 1,
		"\xca\x3f\xc0\x00\x00":                 float32(1.5),
		"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00": 1.5,
		"\xa3abc":                              "abc",
		"\xc4\x02\x00\xff":                     []byte{0, 255},
		"\xc4\x02\x01\x02":                     [2]byte{1, 2},
		"\x93\x01\xc0\xa1x":                    list{1, nil, "x"},
		"\x82\xa1a\x01\xa2bb\x02":              map[string]int{"bb": 2, "a": 1},
		"\x82\xa2aa\x01\xa1b\x02":              map[string]int{"b": 2, "aa": 1},
		"\x82\x01\xa1x\xff\xa1y":               map[int]string{-1: "y", 1: "x"},
		"\x81\xa5first\x05":                    nested{First: 5},
		"\x82\xa5first\x05\xa6second\xa1s":     &nested{5, "s"},
		"\xd6\xff\x00\x00\x00\x01":             time.Unix(1, 0),
		"\xd7\xff\x00\x00\x00\x08\x00\x00\x00\x01":                     time.Unix(1, 2),
		"\xc7\x0c\xff\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff": time.Unix(-1, 2),
		"\xce\x3b\x9a\xca\x00":                                         time.Second,
		"\xd9\x20" + strings.Repeat("x", 32):                           strings.Repeat("x", 32),
		"\xdc\x00\x10" + strings.Repeat("\x01", 16):                    []int8{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
	} {
		if got, err := codec.Msgpack().AppendValue(nil, v); err != nil || string(got) != want {
			t.Errorf("%#v is encoded as %q, error %v; want %q", v, got, err, want)
		}
	}
	for want, args := range map[string]any{
		"\x82\xa1x\x01\xa1y\xcd\x01\x2c":             pairArgs{1, 300},
		"\x83\xa4name\xa1n\xa4loud\xc2\xa5words\xc0": optionalArgs{Name: "n"},
		"\x80":                          struct{}{},
		"\x90":                          codec.Arguments{},
		"\x92\x01\xa1b":                 positional(1, "b"),
		"\x82\xa1a\x01\xa2bb\x02":       named(dict{"bb": 2, "a": 1}),
		"\x82\xa0\x92\x01\x02\xa1z\x03": mixed(list{1, 2}, dict{"z": 3}),
	} {
		if got, err := codec.Msgpack().AppendArgs(nil, args); err != nil || string(got) != want {
			t.Errorf("%#v is encoded as %q, error %v; want %q", args, got, err, want)
		}
	}
}

// TestMsgpackLibrary checks that the msgpack library, which other Go programs use, reads the codec's encoding
// and writes one that the codec reads.
func TestMsgpackLibrary(t *testing.T) {
	type record struct {
		N  int64              `msgpack:"n"`
		U  uint64             `msgpack:"u"`
		F  float64            `msgpack:"f"`
		F3 float32            `msgpack:"f3"`
		S  string             `msgpack:"s"`
		B  []byte             `msgpack:"b"`
		A  [3]byte            `msgpack:"a"`
		M  map[string]int     `msgpack:"m"`
		L  []string           `msgpack:"l"`
		T  time.Time          `msgpack:"t"`
		P  *record            `msgpack:"p"`
		R  msgpack.RawMessage `msgpack:"r"`
	}
	in := record{-5, math.MaxUint64, 1.5, 2.5, "s", []byte{1}, [3]byte{1, 2, 3}, map[string]int{"k": 1}, []string{"x"},
		time.Unix(5, 6).UTC(), &record{L: []string{}}, msgpack.RawMessage("\x91\x01")}
	var there, back record
	if err := msgpack.Unmarshal(encode(t, codec.Msgpack(), in), &there); err != nil {
		t.Fatal(err)
	}
	data, err := msgpack.Marshal(there)
	if err != nil {
		t.Fatal(err)
	}
	if err := codec.Msgpack().DecodeValue(data, &back); err != nil {
		t.Fatal(err)
	}
	// The library does not distinguish nil and empty.
	for _, r := range []*record{&there, &back} {
		r.T, r.P.T = r.T.UTC(), r.P.T.UTC()
	}
	if want := encode(t, codec.Msgpack(), in); !bytes.Equal(encode(t, codec.Msgpack(), back), want) {
		t.Errorf("decoded as %+v, want %+v", back, in)
	}
}

func TestMsgpackStrict(t *testing.T) {
	for name, tt := range map[string]struct {
		data string
		dest any
		want failure
	}{
		"bytes for string":         {"\xc4\x01x", new(string), failure{codec.ErrType, "", "found bytes, want string"}},
		"string for bytes":         {"\xa1x", new([]byte), failure{codec.ErrType, "", "found string, want []uint8"}},
		"byte array length":        {"\xc4\x01x", new([2]byte), failure{codec.ErrType, "", "found 1 bytes, want [2]uint8"}},
		"array for bytes":          {"\x91\x01", new([]byte), failure{is: codec.ErrType}},
		"float with fraction":      {"\xca\x3f\xc0\x00\x00", new(int), failure{codec.ErrOverflow, "", "a number with a fraction or an exponent does not fit int"}},
		"NaN for int":              {"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", new(int), failure{codec.ErrOverflow, "", "not finite"}},
		"Inf for int":              {"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", new(uint), failure{codec.ErrOverflow, "", "not finite"}},
		"2^63 as float":            {"\xcb\x43\xe0\x00\x00\x00\x00\x00\x00", new(int64), failure{is: codec.ErrOverflow}},
		"2^64 as float":            {"\xcb\x43\xf0\x00\x00\x00\x00\x00\x00", new(uint64), failure{is: codec.ErrOverflow}},
		"inexact integer":          {"\xcf\x00\x20\x00\x00\x00\x00\x00\x01", new(float64), failure{codec.ErrOverflow, "", "exactly"}},
		"inexact integer, float32": {"\xce\x01\x00\x00\x01", new(float32), failure{codec.ErrOverflow, "", "exactly"}},
		"inexact uint":             {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", new(float64), failure{codec.ErrOverflow, "", "exactly"}},
		"no code":                  {"\xc1", new(any), failure{is: codec.ErrSyntax}},
		"no code, typed":           {"\xc1", new(int), failure{is: codec.ErrSyntax}},
		"no code, skipped":         {"\x81\xa1z\xc1", new(struct{}), failure{codec.ErrSyntax, "[key 0]", ""}},
		"no code, nested":          {"\x91\xc1", new([]string), failure{codec.ErrSyntax, "[0]", ""}},
		"unknown extension":        {"\xd4\x05x", new(any), failure{codec.ErrType, "", "type 5"}},
		"extension for time":       {"\xd6\x0d\x00\x00\x00\x01", new(time.Time), failure{codec.ErrType, "", "type 13"}},
		"extension for int":        {"\xd6\xff\x00\x00\x00\x01", new(int), failure{codec.ErrType, "", "found extension"}},
		"string for time":          {"\xa1x", new(time.Time), failure{codec.ErrType, "", "want time.Time"}},
		"time of 3 bytes":          {"\xc7\x03\xffabc", new(time.Time), failure{is: codec.ErrSyntax}},
		"time, nanoseconds":        {"\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x00", new(time.Time), failure{is: codec.ErrSyntax}},
		"int key for struct":       {"\x81\x01\x01", new(struct{}), failure{codec.ErrType, "", "want a name"}},
		"int key for any map":      {"\x81\x01\x01", new(dict), failure{codec.ErrType, "", "want a name"}},
		"bytes key":                {"\x81\xc4\x01x\x01", new(any), failure{codec.ErrType, "", "bytes cannot be the key"}},
		"array key":                {"\x81\x90\x01", new(any), failure{codec.ErrType, "", "array cannot be the key"}},
		"map key":                  {"\x81\x80\x01", new(map[any]any), failure{codec.ErrType, "[key 0]", "map cannot be the key"}},
		"NaN key":                  {"\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x01", new(any), failure{codec.ErrType, "", "NaN"}},
		"in a keyed map":           {"\x81\x05\xd4\x05x", new(any), failure{codec.ErrType, "[key 0]", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.want.check(t, "msgpack", codec.Msgpack().DecodeValue([]byte(tt.data), tt.dest))
		})
	}
	failure{codec.ErrType, "", "want a name"}.check(t, "msgpack", codec.Msgpack().DecodeArgs([]byte("\x81\x01\x01"), new(pairArgs)))
	failure{codec.ErrType, "", "want a name"}.check(t, "msgpack", codec.Msgpack().DecodeArgs([]byte("\x81\x01\x01"), new(codec.Arguments)))
	failure{is: codec.ErrSyntax}.check(t, "msgpack", codec.Msgpack().DecodeArgs([]byte("\xc1"), new(pairArgs)))
}

// TestMsgpackLenient decodes numbers from every form with the same value.
func TestMsgpackLenient(t *testing.T) {
	for name, tt := range map[string]struct {
		data string
		want any
	}{
		"wide int":            {"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", int8(5)},
		"wide negative":       {"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", int8(-1)},
		"signed for uint":     {"\xd2\x00\x00\x00\x05", uint8(5)},
		"float for int":       {"\xca\x40\x00\x00\x00", 2},
		"double for uint":     {"\xcb\x40\x00\x00\x00\x00\x00\x00\x00", uint8(2)},
		"-2^63 as float":      {"\xcb\xc3\xe0\x00\x00\x00\x00\x00\x00", int64(math.MinInt64)},
		"big int for float":   {"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", float64(1 << 63)},
		"Inf for float32":     {"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", float32(math.Inf(1))},
		"long string header":  {"\xdb\x00\x00\x00\x01x", "x"},
		"long array header":   {"\xdd\x00\x00\x00\x01\x01", []int{1}},
		"long map header":     {"\xdf\x00\x00\x00\x01\xa1k\x01", map[string]int{"k": 1}},
		"long bytes header":   {"\xc6\x00\x00\x00\x01x", []byte("x")},
		"long time":           {"\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", time.Unix(1, 0).UTC()},
		"nil for error":       {"\xc0", struct{ E error }{}.E},
		"extension, skipped":  {"\x81\xa1z\xd4\x05x", struct{}{}},
		"extensions, skipped": {"\x82\xa1z\xc8\x00\x01\x05x\xa1y\xc9\x00\x00\x00\x01\x05x", struct{}{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := reflect.New(reflect.TypeFor[error]())
			if tt.want != nil {
				got = reflect.New(reflect.TypeOf(tt.want))
			}
			if err := codec.Msgpack().DecodeValue([]byte(tt.data), got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), tt.want) {
				t.Errorf("decoded as %v, error %v; want %v", got.Elem(), err, tt.want)
			}
		})
	}
}

// TestMsgpackLengths checks that a declared length, wherever it is, is compared with the input before memory is
// allocated for it.
func TestMsgpackLengths(t *testing.T) {
	for _, head := range []string{
		"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\xff",
		"\xdc\xff\xff", "\xde\xff\xff", "\xc5\xff\xff", "\xda\xff\xff", "\xc8\xff\xff\xff", "\x9f\x01", "\x8f\x01\x01", "\xbfx",
		"\xdf\x80\x00\x00\x00",
	} {
		for _, data := range []string{head, "\x91" + head, "\x81\xa1z" + head, "\x81" + head} {
			for _, dest := range []any{
				new(any), new([]int), new([][]int), new(map[string]int), new(map[string]any), new([]byte), new(string), new([][4]int),
				new(time.Time), new(struct{}), new(struct{ Z []any }), new(msgpack.RawMessage), new(rawText), new([]rawText),
			} {
				allocated := testing.AllocsPerRun(1, func() { _ = codec.Msgpack().DecodeValue([]byte(data), dest) })
				err := codec.Msgpack().DecodeValue([]byte(data), dest)
				failure{}.checkSentinel(t, err)
				if allocated > 100 {
					t.Errorf("decoding %q into %T took %v allocations", data, dest, allocated)
				}
			}
			_ = codec.Msgpack().DecodeArgs([]byte(data), new(optionalArgs))
			_ = codec.Msgpack().DecodeArgs([]byte(data), new(codec.Arguments))
		}
	}
}
