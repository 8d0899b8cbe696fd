package codec_test

import (
	"reflect"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
)

type pairArgs struct {
	X int8 `arbiter:"x"`
	Y int  `arbiter:"y"`
}

type optionalArgs struct {
	Name  string   `arbiter:"name"`
	Loud  bool     `arbiter:"loud,optional"`
	Words []string `arbiter:"words,variadic"`
}

type trailingArgs struct {
	A int `arbiter:"a"`
	B int `arbiter:"b,optional"`
	C int `arbiter:"c,optional"`
}

type commonArgs struct {
	Tenant string `arbiter:"tenant"`
}

type embeddedArgs struct {
	commonArgs
	User   string
	hidden int    //nolint:unused // an unexported field is not a parameter
	Skip   func() `arbiter:"-"`
}

type list = []any
type dict = map[string]any

func positional(values ...any) codec.Arguments { return codec.Arguments{Positional: values} }
func named(values dict) codec.Arguments        { return codec.Arguments{Named: values} }
func mixed(p list, n dict) codec.Arguments     { return codec.Arguments{Positional: p, Named: n} }

func TestDecodeArgs(t *testing.T) {
	for name, tt := range map[string]struct{ in, want any }{
		"struct":                    {pairArgs{1, 2}, pairArgs{1, 2}},
		"pointer":                   {&pairArgs{1, 2}, pairArgs{1, 2}},
		"positional":                {positional(1, 2), pairArgs{1, 2}},
		"named":                     {named(dict{"y": 2, "x": 1}), pairArgs{1, 2}},
		"mixed":                     {mixed(list{1}, dict{"y": 2}), pairArgs{1, 2}},
		"pointer to Arguments":      {&codec.Arguments{Positional: list{1, 2}}, pairArgs{1, 2}},
		"none":                      {codec.Arguments{}, struct{}{}},
		"none by struct":            {struct{}{}, struct{}{}},
		"optional, all":             {positional(1, 2, 3), trailingArgs{1, 2, 3}},
		"optional, one":             {positional(1, 2), trailingArgs{1, 2, 0}},
		"optional, none":            {positional(1), trailingArgs{1, 0, 0}},
		"optional by name":          {named(dict{"a": 1, "c": 3}), trailingArgs{1, 0, 3}},
		"optional mixed":            {mixed(list{1}, dict{"c": 3}), trailingArgs{1, 0, 3}},
		"variadic, several":         {positional("n", true, "a", "b"), optionalArgs{"n", true, []string{"a", "b"}}},
		"variadic, none":            {positional("n", true), optionalArgs{"n", true, nil}},
		"variadic, nor optional":    {positional("n"), optionalArgs{"n", false, nil}},
		"variadic by name":          {named(dict{"name": "n", "words": list{"a"}}), optionalArgs{"n", false, []string{"a"}}},
		"variadic by name, missing": {named(dict{"name": "n"}), optionalArgs{"n", false, nil}},
		"variadic by name, empty":   {named(dict{"name": "n", "words": list{}}), optionalArgs{"n", false, []string{}}},
		"variadic mixed":            {mixed(list{"n"}, dict{"words": list{"a"}}), optionalArgs{"n", false, []string{"a"}}},
		"variadic by struct":        {optionalArgs{"n", true, []string{"a"}}, optionalArgs{"n", true, []string{"a"}}},
		"variadic nil by struct":    {optionalArgs{Name: "n"}, optionalArgs{Name: "n"}},
		"embedded":                  {named(dict{"tenant": "t", "User": "u"}), embeddedArgs{commonArgs: commonArgs{"t"}, User: "u"}},
		"embedded positional":       {positional("t", "u"), embeddedArgs{commonArgs: commonArgs{"t"}, User: "u"}},
		"to Arguments, positional":  {positional("a", true, nil), positional("a", true, nil)},
		"to Arguments, named":       {named(dict{"a": "b"}), named(dict{"a": "b"})},
		"to Arguments, mixed":       {mixed(list{"a"}, dict{"b": "c"}), mixed(list{"a"}, dict{"b": "c"})},
		"to Arguments, none":        {codec.Arguments{}, codec.Arguments{}},
		"to Arguments, empty":       {mixed(list{}, dict{}), codec.Arguments{}},
		"to Arguments, struct":      {pairArgs{1, 2}, named(dict{"x": int64(1), "y": int64(2)})},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				data := mustArgs(t, c, tt.in)
				got := reflect.New(reflect.TypeOf(tt.want))
				if err := c.DecodeArgs(data, got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), tt.want) {
					t.Errorf("%q was decoded as %+v, error %v; want %+v", data, got.Elem(), err, tt.want)
				}
				// Each shorter prefix of it is an error, and so are bytes after it.
				for n := range data {
					failure{is: codec.ErrTruncated}.checkSentinel(t, c.DecodeArgs(data[:n], got.Interface()))
				}
				failure{is: codec.ErrTrailing}.checkSentinel(t, c.DecodeArgs(append(data, '1'), got.Interface()))
			})
		})
	}
}

func TestDecodeArgsRefuses(t *testing.T) {
	type optsArgs struct {
		Opts struct {
			Sizes []int16 `json:"sizes"`
		} `arbiter:"opts"`
	}
	for name, tt := range map[string]struct {
		in   codec.Arguments
		dest any
		want failure
	}{
		"too few":             {positional(1), new(pairArgs), failure{codec.ErrMissing, "y", "positional arguments: got 1, want 2"}},
		"too many":            {positional(1, 2, 3), new(pairArgs), failure{codec.ErrUnknown, "", "positional arguments: got 3, want 2"}},
		"too many, optional":  {positional(1, 2, 3, 4), new(trailingArgs), failure{codec.ErrUnknown, "", "positional arguments: got 4, want 1 to 3"}},
		"too few, variadic":   {positional(), new(optionalArgs), failure{codec.ErrMissing, "name", "positional arguments: got 0, want at least 1"}},
		"too many, mixed":     {mixed(list{1, 2, 3}, dict{"y": 1}), new(pairArgs), failure{codec.ErrUnknown, "", "got 3, want 2"}},
		"missing":             {named(dict{"x": 1}), new(pairArgs), failure{codec.ErrMissing, "y", "y: missing parameter"}},
		"missing, mixed":      {mixed(list{}, dict{"y": 1}), new(pairArgs), failure{codec.ErrMissing, "x", ""}},
		"unknown":             {named(dict{"x": 1, "y": 2, "z": 3}), new(pairArgs), failure{codec.ErrUnknown, "z", "there are x, y"}},
		"unknown, none known": {named(dict{"z": 3}), new(struct{}), failure{codec.ErrUnknown, "z", "there are none"}},
		"case matters":        {named(dict{"X": 1, "y": 2}), new(pairArgs), failure{codec.ErrUnknown, "X", ""}},
		"left out by tag":     {named(dict{"tenant": "", "User": "", "Skip": nil}), new(embeddedArgs), failure{codec.ErrUnknown, "Skip", ""}},
		"unexported":          {named(dict{"tenant": "", "User": "", "hidden": 1}), new(embeddedArgs), failure{codec.ErrUnknown, "hidden", ""}},
		"twice":               {mixed(list{1}, dict{"x": 1, "y": 2}), new(pairArgs), failure{codec.ErrDuplicate, "x", ""}},
		"twice, variadic":     {mixed(list{"n", true, "a"}, dict{"words": list{}}), new(optionalArgs), failure{codec.ErrDuplicate, "words", ""}},
		"overflow":            {positional(300, 2), new(pairArgs), failure{codec.ErrOverflow, "x", "a number overflows int8"}},
		"overflow by name":    {named(dict{"x": 300, "y": 2}), new(pairArgs), failure{codec.ErrOverflow, "x", "a number overflows int8"}},
		"wrong type":          {positional(1, "2"), new(pairArgs), failure{codec.ErrType, "y", "found string, want int"}},
		"null":                {positional(1, nil), new(pairArgs), failure{codec.ErrType, "y", "found null, want int"}},
		"in variadic":         {positional("n", true, "a", 2), new(optionalArgs), failure{codec.ErrType, "words[1]", "found number, want string"}},
		"nested":              {positional(dict{"sizes": list{1, 2, 3, 70000}}), new(optsArgs), failure{codec.ErrOverflow, "opts.sizes[3]", "a number overflows int16"}},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				tt.want.check(t, c.Name(), c.DecodeArgs(mustArgs(t, c, tt.in), tt.dest))
			})
		})
	}
}

// TestDecodeArgsRaw decodes maps that AppendArgs does not write.
func TestDecodeArgsRaw(t *testing.T) {
	for name, tt := range map[string]struct {
		entries []any
		dest    any
		want    failure
	}{
		"twice":                       {list{"x", 1, "y", 2, "x", 3}, new(pairArgs), failure{is: codec.ErrDuplicate, path: "x"}},
		"twice, Arguments":            {list{"x", 1, "x", 1}, new(codec.Arguments), failure{is: codec.ErrDuplicate, path: "x"}},
		"positional twice":            {list{"", list{1}, "", list{2}}, new(pairArgs), failure{is: codec.ErrDuplicate}},
		"positional twice, Arguments": {list{"", list{1}, "", list{2}}, new(codec.Arguments), failure{is: codec.ErrDuplicate}},
		"positional after named":      {list{"x", 1, "", list{2}}, new(pairArgs), failure{is: codec.ErrDuplicate, path: "x"}},
		"empty key":                   {list{"", 1}, new(pairArgs), failure{codec.ErrType, "", "empty key"}},
		"empty key, Arguments":        {list{"", dict{}}, new(codec.Arguments), failure{codec.ErrType, "", "empty key"}},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				tt.want.check(t, c.Name(), c.DecodeArgs(rawMap(t, c, tt.entries...), tt.dest))
			})
		})
	}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		var got pairArgs
		if err := c.DecodeArgs(rawMap(t, c, "y", 2, "", list{1}), &got); err != nil || got != (pairArgs{1, 2}) {
			t.Errorf("positional arguments at the end of the map: got %+v, error %v", got, err)
		}
		for _, other := range []any{1, "x", nil, true, 1.5} {
			failure{codec.ErrType, "", "want an array or"}.check(t, c.Name(), c.DecodeArgs(encode(t, c, other), &got))
			failure{codec.ErrType, "", "want an array or"}.check(t, c.Name(), c.DecodeArgs(encode(t, c, other), new(codec.Arguments)))
		}
		for _, dest := range []any{nil, 1, pairArgs{}, (*pairArgs)(nil), (*codec.Arguments)(nil), new(int), new(*pairArgs)} {
			failure{is: codec.ErrType}.check(t, c.Name(), c.DecodeArgs(encode(t, c, list{1, 2}), dest))
		}
		for _, dest := range []any{nil, 1, (*int)(nil)} {
			failure{is: codec.ErrType}.check(t, c.Name(), c.DecodeValue(encode(t, c, 1), dest))
		}
	})
}

func TestAppendArgsRefuses(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		for _, args := range []any{nil, 1, "x", list{}, dict{}, (*pairArgs)(nil), (*codec.Arguments)(nil), new(*pairArgs)} {
			_, err := c.AppendArgs(nil, args)
			failure{is: codec.ErrType}.check(t, c.Name(), err)
		}
		for _, tt := range []struct {
			args any
			want failure
		}{
			{named(dict{"": 1}), failure{codec.ErrUnsupported, "", "empty key"}},
			{mixed(list{1}, dict{"": 1}), failure{codec.ErrUnsupported, "", "empty key"}},
			{named(dict{"f": func() {}}), failure{is: codec.ErrUnsupported, path: "f"}},
			{positional(1, make(chan int)), failure{is: codec.ErrUnsupported, path: "[1]"}},
			{mixed(list{make(chan int)}, dict{"a": 1}), failure{is: codec.ErrUnsupported, path: "[0]"}},
			{struct{ F any }{func() {}}, failure{is: codec.ErrUnsupported, path: "F"}},
			{struct {
				A int `arbiter:"a,omitempty"`
			}{}, failure{codec.ErrUnsupported, "A", `unknown option "omitempty"`}},
		} {
			_, err := c.AppendArgs(nil, tt.args)
			tt.want.check(t, c.Name(), err)
		}
	})
}

// TestManyParameters uses more parameters than the bits of the word in the type bits.
func TestManyParameters(t *testing.T) {
	var fields []reflect.StructField
	for i := range 200 {
		fields = append(fields, reflect.StructField{Name: "F" + string(rune('A'+i/26)) + string(rune('A'+i%26)), Type: reflect.TypeFor[int]()})
	}
	many := reflect.New(reflect.StructOf(fields))
	values := make(list, len(fields))
	for i := range fields {
		many.Elem().Field(i).SetInt(int64(i))
		values[i] = i
	}
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		for _, args := range []any{many.Interface(), positional(values...)} {
			got := reflect.New(many.Type().Elem())
			if err := c.DecodeArgs(mustArgs(t, c, args), got.Interface()); err != nil || got.Elem().Interface() != many.Elem().Interface() {
				t.Errorf("decoded as %v, error %v", got.Elem(), err)
			}
		}
		failure{is: codec.ErrDuplicate, path: "FGE"}.check(t, c.Name(),
			c.DecodeArgs(mustArgs(t, c, mixed(values[:190], dict{"FGE": 1})), many.Interface()))
	})
}

func (f failure) checkSentinel(t *testing.T, err error) {
	t.Helper()
	if e, ok := err.(*codec.Error); !ok { //nolint:errorlint // exactly this type is documented
		t.Errorf("error %v (%T), want a *codec.Error", err, err)
	} else {
		f.path = e.Path
		f.check(t, e.Codec, err)
	}
}
