package codec

import (
	"encoding"
	"reflect"
)

// CheckArgs returns an error unless the struct type t can be the arguments of a task: its parameters
// must have valid and different names, and types that [Msgpack] can encode and decode. The type in an
// interface is checked only when a call is encoded.
//
// The error is an [*Error] without a codec. Its path leads to the wrong type: "[]" stands for an
// element, and "[key]" for a key.
func CheckArgs(t reflect.Type) error {
	if t == nil || t.Kind() != reflect.Struct {
		return finish("", because(ErrType, "arguments must be a struct, not %v", t))
	}
	sig, err := signatureOf(t)
	if err != nil {
		return finish("", err)
	}
	seen := make(map[*plan]bool)
	for i := range sig.params {
		if err := planOf(sig.params[i].typ).check(seen); err != nil {
			return finish("", atName(err, sig.params[i].name))
		}
	}
	return nil
}

// CheckResult returns an error unless a value of type t can be the result of a task: [Msgpack] must be
// able to encode and decode it, by the rules that [CheckArgs] has for a parameter. The rules are
// the same for [JSON], except that JSON has no map[any]T. The type in an interface is checked only
// when the result is encoded. The error is like that of CheckArgs.
func CheckResult(t reflect.Type) error {
	if t == nil {
		return finish("", because(ErrType, "no type"))
	}
	return finish("", planOf(t).check(make(map[*plan]bool)))
}

// check returns an error for the first type in the plan that can't be encoded and decoded. It skips the
// plans in seen.
func (p *plan) check(seen map[*plan]bool) error {
	if seen[p] {
		return nil
	}
	seen[p] = true
	switch {
	case p.err != nil:
		return p.err
	case p.encMethods == ownNone && p.decMethods != ownNone && (p.decMethods != ownText || p.enc != opString):
		// A string type that decodes text itself needs no method to encode: it is sent as a string.
		return because(ErrUnsupported, "%s has %s but not %s, so it is encoded as a %s",
			p.typ, p.decMethods.decoder(), p.decMethods.encoder(), p.typ.Kind())
	case p.enc == opMethods:
		return nil
	}
	if k := p.mapKey; k != nil && k.key == keyText && !reflect.PointerTo(k.typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return prepend(halfPair(k.typ, ownText), "[key]")
	}
	if p.elem != nil {
		if err := p.elem.check(seen); err != nil {
			if p.enc == opPointer {
				return err
			}
			return prepend(err, "[]")
		}
	}
	for i := range p.fields {
		f := &p.fields[i]
		if err := f.plan.check(seen); err != nil {
			return atName(err, f.name)
		}
	}
	return nil
}
