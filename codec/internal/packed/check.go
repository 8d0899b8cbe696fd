package packed

import (
	"encoding"
	"reflect"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// Check returns an error for the first type in t that can't be encoded and decoded. Its path leads to that type: "[]" stands for an
// element, and "[key]" for a key.
func Check(t reflect.Type) error { return PlanOf(t).check(make(map[*Plan]bool)) }

// check returns an error for the first type in the plan that can't be encoded and decoded. It skips the
// plans in seen.
func (p *Plan) check(seen map[*Plan]bool) error {
	if seen[p] {
		return nil
	}
	seen[p] = true
	switch {
	case p.err != nil:
		return p.err
	case p.encMethods == rules.NoMethods && p.decMethods != rules.NoMethods && (p.decMethods != rules.TextMethods || p.enc != opString):
		// A string type that decodes text itself needs no method to encode: it is sent as a string.
		return rules.Because(rules.ErrUnsupported, "%s has %s but not %s, so it is encoded as a %s",
			p.typ, p.decMethods.Decoder(), p.decMethods.Encoder(), p.typ.Kind())
	case p.enc == opMethods:
		return nil
	}
	if k := p.mapKey; k != nil && k.key == keyText && !reflect.PointerTo(k.typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return rules.Prepend(rules.HalfPair(k.typ, rules.TextMethods), "[key]")
	}
	if p.elem != nil {
		if err := p.elem.check(seen); err != nil {
			if p.enc == opPointer {
				return err
			}
			return rules.Prepend(err, "[]")
		}
	}
	for i := range p.fields {
		f := &p.fields[i]
		if err := f.plan.check(seen); err != nil {
			return rules.AtName(err, f.Name)
		}
	}
	return nil
}
