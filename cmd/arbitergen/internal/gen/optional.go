package gen

import (
	"fmt"
	"go/types"
	"math"
	"strconv"
	"strings"
	"time"
)

// readOptional finds the optional parameters and their defaults. It reports wrong ones and returns false.
func (t *task) readOptional() bool {
	ok := true
	for _, o := range t.opts.optional {
		if help := t.setOptional(o); help != "" {
			t.errorAt(o.pos, o.String()+": "+help)
			ok = false
		} else if t.index(o.param) < 0 {
			t.noParameter(o.pos, o.param)
			ok = false
		}
	}
	return ok
}

// String writes the parameter as the directive does.
func (o optional) String() string {
	if o.hasDefault {
		return "default=" + o.param + ":" + o.text
	}
	return "optional=" + o.param
}

// setOptional returns an error text, or "". A parameter that does not exist is not its concern.
func (t *task) setOptional(o optional) string {
	i := t.index(o.param)
	if i < 0 {
		return ""
	}
	p := &t.params[i]
	switch {
	case t.variadic() && i == len(t.params)-1:
		return o.param + " is variadic, and so is optional already"
	case p.optional:
		return o.param + " is optional already; one of optional= and default= is enough"
	}
	p.optional = true
	if !o.hasDefault {
		return ""
	}
	def, wrong := defaultText(o.text, p.typ)
	if wrong != "" {
		return fmt.Sprintf("%s is a parameter of type %s: %s", o.param, types.TypeString(p.typ, t.unit.qualifier), wrong)
	}
	p.def = def
	return ""
}

// defaultText checks that text is a value of the type, by the rules of package codec. It returns the value in its usual form,
// or "" for the zero value.
func defaultText(text string, typ types.Type) (def, wrong string) {
	if enc, dec := ownMethods(typ); enc != (ownPair{}) || dec != (ownPair{}) {
		return "", "it has an encoding of its own and cannot have a default; optional= makes it the zero value"
	}
	if isNamed(typ, "time", "Duration") {
		d, err := time.ParseDuration(text)
		if err != nil {
			return "", fmt.Sprintf("%q is not a duration like 1m30s", text)
		}
		return unless(d == 0, d.String()), ""
	}
	basic, ok := typ.Underlying().(*types.Basic)
	if !ok {
		if _, pointer := typ.Underlying().(*types.Pointer); pointer {
			return "", "a pointer cannot have a default; optional= makes it nil"
		}
		return "", "only strings, bools, numbers and durations have defaults; optional= makes it the zero value"
	}
	bits := bitsOf[basic.Kind()]
	switch info := basic.Info(); {
	case info&types.IsString != 0:
		return text, ""
	case info&types.IsBoolean != 0:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return "", fmt.Sprintf("%q is neither true nor false", text)
		}
		return unless(!b, "true"), ""
	case info&types.IsUnsigned != 0:
		n, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			return "", fmt.Sprintf("%q is not a whole number from 0 to %d", text, uint64(math.MaxUint64)>>(64-bits))
		}
		return unless(n == 0, strconv.FormatUint(n, 10)), ""
	case info&types.IsInteger != 0:
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			most := int64(math.MaxInt64) >> (64 - bits)
			return "", fmt.Sprintf("%q is not a whole number from %d to %d", text, -most-1, most)
		}
		return unless(n == 0, strconv.FormatInt(n, 10)), ""
	case info&types.IsFloat != 0:
		f, err := strconv.ParseFloat(text, bits)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return "", fmt.Sprintf("%q is not a number of that type", text)
		}
		return unless(f == 0, strconv.FormatFloat(f, 'g', -1, bits)), ""
	}
	return "", "only strings, bools, numbers and durations have defaults"
}

func unless(zero bool, text string) string {
	if zero {
		return ""
	}
	return text
}

// bitsOf has the sizes of the number types. Sizes that depend on the platform are 64, as in the encoding.
var bitsOf = map[types.BasicKind]int{
	types.Int: 64, types.Int8: 8, types.Int16: 16, types.Int32: 32, types.Int64: 64,
	types.Uint: 64, types.Uint8: 8, types.Uint16: 16, types.Uint32: 32, types.Uint64: 64, types.Uintptr: 64,
	types.Float32: 32, types.Float64: 64,
}

// tag returns the tag of a parameter's field, in Go syntax.
func (t *task) tag(i int) string {
	p := t.params[i]
	value := p.name
	switch {
	case t.variadic() && i == len(t.params)-1:
		value += ",variadic"
	case p.def != "":
		value += ",default=" + p.def
	case p.optional:
		value += ",optional"
	}
	tag := "arbiter:" + strconv.Quote(value)
	if strings.Contains(tag, "`") {
		return strconv.Quote(tag)
	}
	return "`" + tag + "`"
}
