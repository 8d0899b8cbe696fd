package codec_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

// tattler is a type whose errors contain the text that it decodes.
type tattler struct{ S string }

var errTattled = errors.New("told")

func (t *tattler) UnmarshalText(b []byte) error {
	if strings.HasPrefix(string(b), "panic") {
		panic(fmt.Errorf("%w: %s", errTattled, b))
	}
	return fmt.Errorf("%w: %s", errTattled, b)
}

func (t tattler) MarshalText() ([]byte, error) { return []byte(t.S), nil }

// TestErrorsShowNoValues checks that an error of decoding tells the path and the types, and no part of the
// value: errors are stored, sent and logged.
func TestErrorsShowNoValues(t *testing.T) {
	const secret = "sesame"
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		for name, tt := range map[string]struct {
			in   any
			into any
		}{
			"text":              {secret, new(int)},
			"number":            {4711471, new(int8)},
			"negative":          {-4711471, new(uint)},
			"fraction":          {0.4711471, new(int)},
			"float":             {4.711471e300, new(float32)},
			"key":               {dict{secret: secret}, new(map[string]int)},
			"key to a number":   {dict{secret: 1}, new(map[int]int)},
			"key far out":       {map[int]int{4711471: 1}, new(map[int8]int)},
			"key on the way":    {dict{secret: list{dict{secret: "x"}}}, new(map[string][]map[string]int)},
			"key in a field":    {dict{"m": dict{secret: "x"}}, new(inM)},
			"unknown field":     {dict{secret: 1, "m": 1}, new(inM)},
			"time":              {secret, new(time.Time)},
			"method":            {secret, new(tattler)},
			"method that panic": {"panic " + secret, new(tattler)},
			"method of a key":   {dict{secret: 1}, new(map[tattler]int)},
			"of the library":    {secret, new(netip.Addr)},
			"in a slice":        {list{1, secret}, new([]int)},
		} {
			err := c.DecodeValue(encode(t, c, tt.in), tt.into)
			if err == nil {
				t.Errorf("%s: decoding succeeded, want an error", name)
			}
			for ; err != nil; err = errors.Unwrap(err) { // the texts of wrapped errors are stored, too
				if s := err.Error(); strings.Contains(s, secret) || strings.Contains(s, "4711471") || strings.Contains(s, "4.711471") {
					t.Errorf("%s: the error shows the value: %v", name, err)
				}
			}
		}
		// errors.Is and errors.As find the error of the method itself.
		for _, s := range []string{secret, "panic"} {
			if err := c.DecodeValue(encode(t, c, s), new(tattler)); !errors.Is(err, errTattled) {
				t.Errorf("%v does not wrap the error of the method", err)
			}
		}
		var perr *time.ParseError
		if err := c.DecodeValue(encode(t, c, secret), new(timeByText)); !errors.As(err, &perr) {
			t.Errorf("%v does not wrap a *time.ParseError", err)
		}
	})
	for _, raw := range []string{secret, `{"a":` + secret + `}`, `{"` + secret + `"}`, `"` + secret + "\x01\""} {
		for c, data := range map[codec.Codec]string{codec.JSON(): raw, codec.Compress(codec.JSON()): "\x00" + raw, codec.Compress(codec.Msgpack()): "\x01" + raw} {
			var v any
			err := c.DecodeValue([]byte(data), &v)
			if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "'s'") {
				t.Errorf("%s: error for %q is %v, want one without the value", c.Name(), data, err)
			}
		}
	}
}

// timeByText returns the error of time.Parse.
type timeByText struct{}

func (*timeByText) UnmarshalText(b []byte) error {
	_, err := time.Parse(time.RFC3339, string(b))
	return err
}

func (timeByText) MarshalText() ([]byte, error) { return nil, nil }

type inM struct {
	M map[string]int `json:"m"`
}
