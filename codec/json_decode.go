package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// jsonInto decodes raw, a valid value, into v, which must be addressable. It replaces the value of v. The
// caller has checked that the memory for it is within the budget.
func jsonInto(raw []byte, v reflect.Value) error {
	v.SetZero()
	if p, ok := reflect.TypeAssert[*any](v.Addr()); ok {
		var err error
		*p, _, err = jsonAny(raw, 0)
		return err
	}
	traits := traitsOf(v.Type())
	err := rules.GuardDecoder("decoding", v.Type(), func() error {
		ptr := v.Addr().Interface()
		if !traits.any {
			return json.Unmarshal(raw, ptr)
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		return dec.Decode(ptr)
	})
	if err != nil {
		return jsonDecodeError(raw, v.Type(), err)
	}
	// Find the errors that encoding/json ignores.
	if traits.array || bytes.Contains(raw, []byte("null")) {
		if err := jsonCheck(raw, v.Type()); err != nil {
			return err
		}
	}
	if traits.any {
		return plainNumbers(v)
	}
	return nil
}

// jsonDecodeError turns an error of encoding/json into an error of this package.
func jsonDecodeError(raw []byte, t reflect.Type, err error) error {
	if p, ok := err.(*rules.PanicError); ok { //nolint:errorlint // the error of guardDecoder itself
		return p
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		why := rules.Because(ErrType, "found %s, want %s", e.Value, e.Type)
		if number, ok := strings.CutPrefix(e.Value, "number "); ok {
			// encoding/json calls a key that should be an integer a number, too.
			if strings.IndexAny(number, "-0123456789") == 0 {
				why = rules.Overflows(number, e.Type)
			} else {
				why = rules.Because(ErrType, "found a key that is not a number, want %s", e.Type)
			}
		}
		return rules.Prepend(why, jsonPath(raw, int(e.Offset), t))
	}
	if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return rules.Because(ErrType, "found a string that is not base64, want bytes")
	}
	if strings.HasPrefix(err.Error(), "json: cannot set embedded pointer") { // this error shows only types
		return err
	}
	return rules.Refuse("decoding "+t.String(), err)
}

// jsonEncodeError turns an error of encoding/json into an error of this package.
func jsonEncodeError(err error) error {
	if e, ok := errors.AsType[*json.UnsupportedTypeError](err); ok {
		return rules.Because(ErrUnsupported, "%s cannot be encoded", e.Type)
	}
	if e, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		if e.Value.IsValid() && e.Value.CanFloat() {
			return rules.Because(ErrUnsupported, "JSON has no number for %s", e.Str)
		}
		return rules.Because(ErrTooDeep, "nested too deeply: %s", e.Str)
	}
	return err
}

// jsonArgs decodes arguments of either form into the struct v.
func jsonArgs(raw []byte, sig *signature, v reflect.Value) error {
	b := binding{signature: sig, budget: rules.Budget{Size: len(raw)}}
	got := -1
	var err error
	switch raw[0] {
	case '[':
		got, err = jsonPositional(&b, raw, v)
	case '{':
		err = jsonNamed(&b, raw, v)
	default:
		err = jsonBadForm(raw)
	}
	if err != nil {
		return err
	}
	return b.finish(v, got)
}

// jsonBadForm is the error for arguments that are neither array nor object.
func jsonBadForm(raw []byte) error {
	return rules.Because(ErrType, "found %s, want an array or an object of arguments", jsonKind(raw))
}

func jsonNotPositional(raw []byte) error {
	return rules.Because(ErrType, "found %s under the empty key, want the array of the positional arguments", jsonKind(raw))
}

func jsonNamed(b *binding, raw []byte, v reflect.Value) error {
	for c := range jsonChildren(raw) {
		name := jsonText(c.key)
		if len(name) == 0 {
			if c.raw[0] != '[' {
				return jsonNotPositional(c.raw)
			}
			if _, err := jsonPositional(b, c.raw, v); err != nil {
				return err
			}
			continue
		}
		i, err := b.bindName(name)
		if err != nil {
			return err
		}
		if err := jsonArg(b, c.raw, b.params[i].in(v)); err != nil {
			return rules.AtName(err, b.params[i].name)
		}
	}
	return nil
}

// jsonArg decodes one argument into v, if its memory is within the budget.
func jsonArg(b *binding, raw []byte, v reflect.Value) error {
	if err := jsonAfford(raw, v.Type(), &b.budget); err != nil {
		return err
	}
	return jsonInto(raw, v)
}

// jsonPositional decodes an array of arguments, and returns their number.
func jsonPositional(b *binding, raw []byte, v reflect.Value) (n int, err error) {
	var values [][]byte
	for c := range jsonChildren(raw) {
		values = append(values, c.raw)
	}
	fixed, err := b.bindPositional(len(values))
	if err != nil {
		return 0, err
	}
	for i, raw := range values[:fixed] {
		if err := b.bind(i); err != nil {
			return 0, err
		}
		if err := jsonArg(b, raw, b.params[i].in(v)); err != nil {
			return 0, rules.AtName(err, b.params[i].name)
		}
	}
	if more := values[fixed:]; len(more) > 0 {
		last := &b.params[fixed]
		if err := jsonAffordElems(more, last.typ, &b.budget); err != nil {
			return 0, rules.AtName(err, last.name)
		}
		slice := reflect.MakeSlice(last.typ, len(more), len(more))
		for i, raw := range more {
			if err := jsonInto(raw, slice.Index(i)); err != nil {
				return 0, rules.AtName(rules.AtIndex(err, i), last.name)
			}
		}
		last.in(v).Set(slice)
	}
	return len(values), nil
}

// jsonArguments decodes arguments of either form into a.
func jsonArguments(raw []byte, a *Arguments) error {
	*a = Arguments{}
	if err := jsonAfford(raw, reflect.TypeFor[any](), &rules.Budget{Size: len(raw)}); err != nil {
		return err
	}
	switch raw[0] {
	case '[':
		return jsonUntyped(raw, a)
	case '{':
	default:
		return jsonBadForm(raw)
	}
	positional := false
	for c := range jsonChildren(raw) {
		name := c.name()
		_, twice := a.Named[name]
		switch {
		case name != "" && twice:
			return rules.AtName(ErrDuplicate, name)
		case name != "":
			value, _, err := jsonAny(c.raw, 0)
			if err != nil {
				return rules.AtName(err, name)
			}
			if a.Named == nil {
				a.Named = make(map[string]any)
			}
			a.Named[name] = value
		case positional:
			return errTwicePositional
		case c.raw[0] != '[':
			return jsonNotPositional(c.raw)
		default:
			positional = true
			if err := jsonUntyped(c.raw, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonUntyped decodes an array into a.Positional. An empty array becomes nil, so that a call without
// arguments decodes to the zero value.
func jsonUntyped(raw []byte, a *Arguments) error {
	values, _, err := jsonAny(raw, 0)
	if s, ok := values.([]any); ok && len(s) > 0 {
		a.Positional = s
	}
	return err
}
