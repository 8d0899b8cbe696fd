package codec_test

import (
	"encoding/json"
	"math/big"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

type mapLoop map[string]*mapLoop

func TestCheckArgs(t *testing.T) {
	for _, v := range []any{
		struct{}{}, pairArgs{}, optionalArgs{}, trailingArgs{}, embeddedArgs{}, argsWithMethods{},
		struct {
			A  any
			B  map[string]map[int][]*[2]float32
			T  treeNode
			L  mapLoop
			U  *url.URL
			I  big.Int
			At time.Time
			R  json.RawMessage
			K  map[textKey]textOne
			M  map[any]any
			ok chan int
			No chan int `arbiter:"-"`
			Ü  int      //nolint:asciicheck // a field may have such a name
			V  []byte   `arbiter:"v-1_x,optional,variadic"`
		}{},
		struct{ time.Time }{},
		struct{ X stringText }{},
	} {
		if err := codec.CheckArgs(reflect.TypeOf(v)); err != nil {
			t.Errorf("CheckArgs of %T: error %v", v, err)
		}
	}
}

// The rules for results are those for parameters, in both codecs.
func TestCheckResult(t *testing.T) {
	for _, v := range []any{
		struct{}{}, 1, "", []byte{}, (*int)(nil), map[string]any{}, treeNode{}, mapLoop{}, time.Time{}, (*url.URL)(nil), []stringText{},
		json.RawMessage("1"),
	} {
		if err := codec.CheckResult(reflect.TypeOf(v)); err != nil {
			t.Errorf("CheckResult of %T: error %v", v, err)
		}
		for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
			if _, err := c.AppendValue(nil, v); err != nil {
				t.Errorf("CheckResult accepts %T, but %s can't encode it: %v", v, c.Name(), err)
			}
		}
	}
	if err := codec.CheckResult(reflect.TypeFor[any]()); err != nil {
		t.Errorf("CheckResult of any: error %v", err)
	}
	unsupported := codec.ErrUnsupported
	for name, tt := range map[string]struct {
		typ  reflect.Type
		want failure
	}{
		"none":      {nil, failure{codec.ErrType, "", "no type"}},
		"chan":      {reflect.TypeFor[chan int](), failure{unsupported, "", "chan int cannot be encoded"}},
		"func":      {reflect.TypeFor[func()](), failure{unsupported, "", "func()"}},
		"complex":   {reflect.TypeFor[[]complex128](), failure{unsupported, "[]", "complex128"}},
		"in a map":  {reflect.TypeFor[map[string]*chan int](), failure{unsupported, "[]", "chan int"}},
		"field":     {reflect.TypeFor[struct{ Done chan int }](), failure{unsupported, "Done", "chan int"}},
		"interface": {reflect.TypeFor[error](), failure{unsupported, "", "the interface error"}},
		"hidden":    {reflect.TypeFor[struct{ done chan int }](), failure{unsupported, "", "no exported fields"}},
		"one way":   {reflect.TypeFor[onlyEncodes](), failure{unsupported, "", "not UnmarshalText"}},
	} {
		t.Run(name, func(t *testing.T) { tt.want.check(t, "", codec.CheckResult(tt.typ)) })
	}
}

// stringText is a string type that decodes itself, but has no method to encode.
type stringText string

func (s *stringText) UnmarshalText(b []byte) error { *s = stringText(b); return nil }

func TestCheckArgsRefuses(t *testing.T) {
	unsupported := codec.ErrUnsupported
	for name, tt := range map[string]struct {
		in   any
		want failure
	}{
		"nil":     {nil, failure{codec.ErrType, "", "must be a struct"}},
		"int":     {1, failure{codec.ErrType, "", "int"}},
		"pointer": {&pairArgs{}, failure{codec.ErrType, "", "*codec_test.pairArgs"}},
		"map":     {dict{}, failure{is: codec.ErrType}},
		"chan":    {struct{ Done chan int }{}, failure{unsupported, "Done", "chan int cannot be encoded"}},
		"func":    {struct{ F func() }{}, failure{unsupported, "F", "func()"}},
		"complex": {struct{ C []complex128 }{}, failure{unsupported, "C[]", "complex128"}},
		"nested": {struct {
			M map[string][]struct{ P *chan int }
		}{}, failure{unsupported, "M[][].P", "chan int"}},
		"nested name": {struct {
			S struct {
				P chan int `json:"p"`
			} `arbiter:"s"`
		}{}, failure{unsupported, "s.p", "chan int"}},
		"interface":       {struct{ E error }{}, failure{unsupported, "E", "the interface error"}},
		"map key":         {struct{ M map[struct{ A int }]int }{}, failure{unsupported, "M", "key of a map"}},
		"map key methods": {struct{ M map[onlyEncodes]int }{}, failure{unsupported, "M[key]", "not UnmarshalText"}},
		"only encodes":    {struct{ O onlyEncodes }{}, failure{unsupported, "O", "not UnmarshalText"}},
		"only decodes":    {struct{ O *onlyDecodes }{}, failure{unsupported, "O", "not MarshalText"}},
		"no fields":       {struct{ S struct{ a int } }{}, failure{unsupported, "S", "no exported fields"}},
		"pointer loop":    {struct{ P pointerLoop }{}, failure{unsupported, "P", "itself"}},
		"same name": {struct {
			A int `arbiter:"x"`
			B int `arbiter:"x"`
		}{}, failure{codec.ErrDuplicate, "B", `"x"`}},
		"same, embedded": {struct {
			Base
			ID int
		}{}, failure{codec.ErrDuplicate, "ID", ""}},
		"bad name": {struct {
			A int `arbiter:"a b"`
		}{}, failure{unsupported, "A", `"a b"`}},
		"bad first": {struct {
			A int `arbiter:"1"`
		}{}, failure{unsupported, "A", `"1"`}},
		"dash": {struct {
			A int `arbiter:"-,"`
		}{}, failure{unsupported, "A", `"-,`}},
		"no option": {struct {
			A int `arbiter:"a,"`
		}{}, failure{unsupported, "A", `""`}},
		"option": {struct {
			A int `arbiter:"a,optionel"`
		}{}, failure{unsupported, "A", `"optionel"`}},
		"unexported": {struct {
			a int `arbiter:"a"`
		}{}, failure{unsupported, "a", "exported"}},
		"embedded ptr": {struct{ *Base }{}, failure{unsupported, "Base", "pointer"}},
		"variadic int": {struct {
			A int `arbiter:"a,variadic"`
		}{}, failure{unsupported, "A", "must be a slice"}},
		"variadic first": {struct {
			A []int `arbiter:"a,variadic"`
			B int
		}{}, failure{unsupported, "B", "must be the last"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := codec.CheckArgs(reflect.TypeOf(tt.in))
			tt.want.check(t, "", err)
		})
	}
}
