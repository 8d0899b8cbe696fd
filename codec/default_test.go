package codec_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

type level string

type defaultArgs struct {
	Query string        `arbiter:"query"`
	Limit int8          `arbiter:"limit,default=-10"`
	Page  uint16        `arbiter:"page,default=1"`
	Loud  bool          `arbiter:"loud,default=true"`
	Ratio float32       `arbiter:"ratio,default=2.5"`
	Sep   string        `arbiter:"sep,default=, ,"`
	Level level         `arbiter:"level,optional,default=warn"`
	Wait  time.Duration `arbiter:"wait,default=1m30s"`
	Up    *int          `arbiter:"upstream,optional"`
	Words []string      `arbiter:"words,variadic"`
}

// TestDefaults checks that a missing parameter gets its default, by name and at the end of the positional
// arguments, regardless of the old value of the destination. A parameter that is present keeps its value,
// even if it is zero.
func TestDefaults(t *testing.T) {
	want := defaultArgs{Query: "q", Limit: -10, Page: 1, Loud: true, Ratio: 2.5, Sep: ", ,", Level: "warn", Wait: 90 * time.Second}
	given := defaultArgs{Query: "q", Sep: "", Words: []string{"w"}}
	short := want
	short.Limit, short.Page = 5, 6
	early := want
	early.Wait, early.Words = time.Second, []string{"w"}
	for name, tt := range map[string]struct {
		in   any
		want defaultArgs
	}{
		"by name":              {named(dict{"query": "q"}), want},
		"by position":          {positional("q"), want},
		"at the end":           {positional("q", 5, 6), short},
		"mixed":                {mixed(list{"q"}, dict{"wait": int64(time.Second), "words": list{"w"}}), early},
		"given by a struct":    {given, given},
		"given, as in a query": {named(dict{"query": "q", "limit": 0, "page": 0, "loud": false, "ratio": 0, "sep": "", "level": "", "wait": 0, "upstream": nil, "words": list{"w"}}), given},
	} {
		t.Run(name, func(t *testing.T) {
			bothCodecs(t, func(t *testing.T, c codec.Codec) {
				got := defaultArgs{Query: "old", Limit: 99, Sep: "old", Up: new(int), Words: []string{"old"}}
				if err := c.DecodeArgs(mustArgs(t, c, tt.in), &got); err != nil || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
				}
			})
		})
	}
	if err := codec.CheckArgs(reflect.TypeFor[defaultArgs]()); err != nil {
		t.Error(err)
	}
}

// TestDefaultsRefused checks that CheckArgs refuses a default that does not fit its field.
func TestDefaultsRefused(t *testing.T) {
	for _, tt := range []struct {
		typ       any
		text, why string
	}{
		{0, "ten", `the default "ten" is not a valid int`},
		{0, "", `the default "" is not a valid int`},
		{0, "1,optional", `the default "1,optional" is not a valid int`},
		{int8(0), "128", `the default "128" is not a valid int8`},
		{uint(0), "-1", `the default "-1" is not a valid uint`},
		{false, "yes", `the default "yes" is not a valid bool`},
		{0.5, "NaN", `the default "NaN" is not a valid finite float64`},
		{float32(0), "1e39", `the default "1e39" is not a valid finite float32`},
		{time.Second, "90", `the default "90" is not a valid duration`},
		{[]byte(nil), "x", "[]uint8 cannot have a default"},
		{new(int), "1", "*int cannot have a default"},
		{time.Time{}, "x", "time.Time cannot have a default"},
		{stringText(""), "x", "codec_test.stringText has an encoding of its own"},
	} {
		typ := reflect.StructOf([]reflect.StructField{{
			Name: "X", Type: reflect.TypeOf(tt.typ), Tag: reflect.StructTag(fmt.Sprintf("arbiter:%q", "x,default="+tt.text)),
		}})
		failure{codec.ErrUnsupported, "X", tt.why}.check(t, "", codec.CheckArgs(typ))
	}
}

// A parameter that is missing in a call gets its default.
func ExampleCodec_default() {
	type SearchArgs struct {
		Query string `arbiter:"query"`
		Limit int    `arbiter:"limit,default=10"`
	}
	c := codec.Msgpack()
	data, err := c.AppendArgs(nil, codec.Arguments{Positional: []any{"gopher"}})
	if err != nil {
		fmt.Println(err)
	}
	var args SearchArgs
	fmt.Println(c.DecodeArgs(data, &args), args.Query, args.Limit)
	// Output: <nil> gopher 10
}
