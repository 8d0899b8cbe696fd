package codec

import (
	"encoding"
	"reflect"
)

// CheckArgs reports whether the struct type t can be one of arguments: whether
// its parameters have valid and different names, and types that [Msgpack] can
// encode and decode again. What is in an interface is only known at the call.
//
// The error is an [Error] without a codec. Its path leads to the type that is
// wrong; there "[]" stands for an element and "[key]" for a key.
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

// CheckResult reports whether a value of the type t can be the result of a task:
// whether [Msgpack] can encode and decode it, by the rules of [CheckArgs] for a
// parameter. They hold for [JSON] too, except that it has no map[any]T. What is in an
// interface is only known when it is encoded. The error is as that of CheckArgs.
func CheckResult(t reflect.Type) error {
	if t == nil {
		return finish("", because(ErrType, "no type"))
	}
	return finish("", planOf(t).check(make(map[*plan]bool)))
}

// check looks for types that cannot be encoded and decoded, except in the plans
// that it has seen.
func (p *plan) check(seen map[*plan]bool) error {
	if seen[p] {
		return nil
	}
	seen[p] = true
	switch {
	case p.err != nil:
		return p.err
	case p.encMethods == ownNone && p.decMethods != ownNone && (p.decMethods != ownText || p.enc != opString):
		// Text goes into a type that is a string just as well.
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
