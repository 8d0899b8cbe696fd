package codec

import (
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

var durationType = reflect.TypeFor[time.Duration]()

// defaultOf returns the value of type t for the text of a default in a tag. Only types that an
// assignment copies can have a default, so all calls share the value.
func defaultOf(text string, t reflect.Type) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	if enc, dec := rules.MethodsOf(t); enc != rules.NoMethods || dec != rules.NoMethods {
		return v, rules.Because(ErrUnsupported, "%s has an encoding of its own and cannot have a default; use the option optional", t)
	}
	err, want := error(nil), t.Kind().String()
	switch kind := t.Kind(); {
	case t == durationType:
		var d time.Duration
		d, err = time.ParseDuration(text)
		v.SetInt(int64(d))
		want = "duration"
	case kind == reflect.String:
		v.SetString(text)
	case kind == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case v.CanInt():
		var n int64
		n, err = strconv.ParseInt(text, 10, t.Bits())
		v.SetInt(n)
	case v.CanUint():
		var n uint64
		n, err = strconv.ParseUint(text, 10, t.Bits())
		v.SetUint(n)
	case v.CanFloat():
		var f float64
		if f, err = strconv.ParseFloat(text, t.Bits()); math.IsNaN(f) || math.IsInf(f, 0) {
			want, err = "finite "+want, strconv.ErrSyntax
		}
		v.SetFloat(f)
	default:
		return v, rules.Because(ErrUnsupported, "%s cannot have a default; strings, bools, numbers and time.Duration can, and others the option optional", t)
	}
	if err != nil {
		return v, rules.Because(ErrUnsupported, "the default %q is not a valid %s", text, want)
	}
	return v, nil
}
