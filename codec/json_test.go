package codec_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

// TestJSONGolden checks the exact encoding: running systems have such bytes in their queues.
func TestJSONGolden(t *testing.T) {
	for want, v := range map[string]any{
		`null`: nil, `true`: true, `-5`: -5, `18446744073709551615`: uint64(math.MaxUint64), `1.5`: 1.5, `2`: 2.0,
		`"<ä & \"b\">"`: `<ä & "b">`, `"AP8="`: []byte{0, 255}, `[1,null,"x"]`: list{1, nil, "x"}, `{"a":1,"bb":2}`: map[string]int{"bb": 2, "a": 1},
		`{"-1":"y","1":"x"}`: map[int]string{-1: "y", 1: "x"}, `"2026-01-02T03:04:05.000000006+01:00"`: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)),
		`1000000000`: time.Second, `{"value":1}`: treeNode{Value: 1},
	} {
		if got, err := codec.JSON().AppendValue(nil, v); err != nil || string(got) != want {
			t.Errorf("%#v is encoded as %s, error %v; want %s", v, got, err, want)
		}
	}
	for want, args := range map[string]any{
		`{"x":1,"y":300}`:                        pairArgs{1, 300},
		`{"name":"n","loud":false,"words":null}`: &optionalArgs{Name: "n"},
		`{"tenant":"t","User":"u"}`:              embeddedArgs{commonArgs: commonArgs{"t"}, User: "u"},
		`{}`:                                     struct{}{},
		`[]`:                                     codec.Arguments{},
		`[1,"b"]`:                                positional(1, "b"),
		`{"a":1,"bb":2}`:                         named(dict{"bb": 2, "a": 1}),
		`{"":[1,2],"z":3}`:                       mixed(list{1, 2}, dict{"z": 3}),
		`{"\"\n":1,"ä":2,"é":3}`:                 named(dict{"é": 3, "ä": 2, "\"\n": 1}),
	} {
		want = strings.ReplaceAll(want, "\n", `\n`)
		if got, err := codec.JSON().AppendArgs(nil, args); err != nil || string(got) != want {
			t.Errorf("%#v is encoded as %s, error %v; want %s", args, got, err, want)
		}
	}
}

func TestJSONStrict(t *testing.T) {
	type opts struct {
		Sizes []int16           `json:"sizes"`
		Map   map[string]uint8  `json:"map"`
		Deep  map[string][]opts `json:"deep"`
		Bytes []byte            `json:"bytes"`
		Quote int               `json:"quote,string"`
		Any   any               `json:"any"`
		Time  time.Time         `json:"time"`
		Raw   json.RawMessage   `json:"raw"`
	}
	for name, tt := range map[string]struct {
		data string
		dest any
		want failure
	}{
		"empty":            {"", new(any), failure{is: codec.ErrTruncated}},
		"space":            {" \n", new(any), failure{is: codec.ErrTruncated}},
		"no JSON":          {"{x}", new(any), failure{codec.ErrSyntax, "", "malformed input"}},
		"bad escape":       {`"\x"`, new(string), failure{is: codec.ErrSyntax}},
		"comma":            {`[1,]`, new(any), failure{is: codec.ErrSyntax}},
		"leading zero":     {`01`, new(int), failure{is: codec.ErrTrailing}},
		"NaN":              {`NaN`, new(float64), failure{is: codec.ErrSyntax}},
		"second value":     {"1 2", new(int), failure{is: codec.ErrTrailing}},
		"whole float":      {"2.0", new(int), failure{codec.ErrOverflow, "", "a number with a fraction or an exponent does not fit int"}},
		"exponent":         {"1e2", new(int), failure{codec.ErrOverflow, "", "a number with a fraction or an exponent does not fit int"}},
		"long number":      {strings.Repeat("9", 1000), new(int), failure{codec.ErrOverflow, "", "a number overflows int"}},
		"base64":           {`"?"`, new([]byte), failure{codec.ErrType, "", "base64"}},
		"after escapes":    {`{"\u0064eep":{"a\"]":[{},{"sizes":[1, "x"]}]}}`, new(opts), failure{codec.ErrType, "deep[key 0][1].sizes[1]", "found string"}},
		"spaces":           {" { \"map\" : { \"k\" : \n 300 } } ", new(opts), failure{codec.ErrOverflow, "map[key 0]", "a number overflows uint8"}},
		"container":        {`{"any":[[1]],"map":[{}]}`, new(opts), failure{codec.ErrType, "map", "found array"}},
		"object for array": {`{"sizes":{"a":1}}`, new(opts), failure{codec.ErrType, "sizes", "found object"}},
		"key without case": {`{"SIZES":[null]}`, new(opts), failure{codec.ErrType, "sizes[0]", "found null"}},
		"null for time":    {`{"time":null}`, new(opts), failure{codec.ErrType, "time", "found null"}},
		"null for quoted":  {`{"quote":null}`, new(opts), failure{codec.ErrType, "quote", "found null"}},
		"null for text":    {`[null]`, new([]rawText), failure{codec.ErrType, "[0]", "found null"}},
		"array in array":   {`[[1,2],[3]]`, new([2][2]int), failure{codec.ErrType, "[1]", "found 1 elements"}},
		"first of several": {`{"map":{"a":-1,"b":300},"sizes":["x"]}`, new(opts), failure{codec.ErrOverflow, "map[key 0]", "a number overflows uint8"}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.want.check(t, "json", codec.JSON().DecodeValue([]byte(tt.data), tt.dest))
		})
	}
	var got opts
	if err := codec.JSON().DecodeValue([]byte(`{"raw":null,"any":null,"bytes":null,"deep":{"x":null},"quote":"5","unknown":null}`), &got); err != nil || got.Quote != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

// failing is a type whose methods fail, in the way that how names.
type failing struct{ how string }

var errOnPurpose = errors.New("on purpose")

func (f failing) MarshalJSON() ([]byte, error) {
	switch f.how {
	case "panic":
		panic("on purpose")
	case "error":
		return nil, errOnPurpose
	case "deep":
		return []byte(strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), nil
	}
	return []byte(f.how), nil
}

func (f *failing) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"panic"`:
		panic("on purpose")
	case `"type"`:
		return &json.UnmarshalTypeError{Value: "number ", Type: reflect.TypeFor[int](), Offset: -1}
	case `"nil type"`:
		return &json.UnmarshalTypeError{Value: "number 1", Offset: 1 << 40}
	}
	return errOnPurpose
}

func TestJSONMethods(t *testing.T) {
	for how, says := range map[string]string{"panic": "panicked: on purpose", "error": "on purpose", "deep": "nested too deeply", "{": "MarshalJSON"} {
		for _, v := range []any{failing{how}, &failing{how}, list{failing{how}}, map[string]*failing{"k": {how}}} {
			_, err := codec.JSON().AppendValue(nil, v)
			failure{says: says}.check(t, "json", err)
		}
		_, err := codec.JSON().AppendArgs(nil, struct{ F any }{failing{how}})
		failure{says: says}.checkSentinel(t, err)
	}
	for _, how := range []string{"panic", "type", "nil type", "error"} {
		data := []byte(`{"F":["` + how + `"]}`)
		failure{}.checkSentinel(t, codec.JSON().DecodeValue(data, &struct{ F []failing }{}))
		failure{}.checkSentinel(t, codec.JSON().DecodeValue(data, &struct {
			F []failing
			V any
		}{}))
		failure{}.checkSentinel(t, codec.JSON().DecodeArgs(data, &struct{ F []failing }{}))
	}
	if err := codec.JSON().DecodeValue([]byte(`1`), new(failing)); !errors.Is(err, errOnPurpose) {
		t.Errorf("the error does not wrap the method's own error: %v", err)
	}
}

// onPointer has methods on pointer receivers. encoding/json alone does not call them for a value that is not
// addressable.
type onPointer struct{ n int }

func (p *onPointer) MarshalJSON() ([]byte, error) { return json.Marshal([]int{p.n}) }
func (p *onPointer) UnmarshalJSON(b []byte) error {
	var n [1]int
	err := json.Unmarshal(b, &n)
	p.n = n[0]
	return err
}

type intOnPointer int

func (p *intOnPointer) MarshalText() ([]byte, error) { return []byte{'a' + byte(*p)}, nil }
func (p *intOnPointer) UnmarshalText(b []byte) error { *p = intOnPointer(b[0] - 'a'); return nil }

func TestJSONPointerReceivers(t *testing.T) {
	for want, v := range map[string]any{
		`[5]`: onPointer{5}, `[[5]]`: [1]onPointer{{5}}, `{"P":[5]}`: struct{ P onPointer }{onPointer{5}}, `"c"`: intOnPointer(2),
	} {
		data := encode(t, codec.JSON(), v)
		got := reflect.New(reflect.TypeOf(v))
		if err := codec.JSON().DecodeValue(data, got.Interface()); err != nil || string(data) != want || got.Elem().Interface() != v {
			t.Errorf("%v is encoded as %s, want %s, and decoded as %v, error %v", v, data, want, got.Elem(), err)
		}
	}
	args := struct{ P onPointer }{onPointer{5}}
	for _, a := range []any{args, &args, named(dict{"P": args.P})} {
		if got := mustArgs(t, codec.JSON(), a); string(got) != `{"P":[5]}` {
			t.Errorf("%v: %s", a, got)
		}
	}
}
