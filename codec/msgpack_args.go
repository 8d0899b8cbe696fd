package codec

import (
	"reflect"
	"sync"

	"github.com/go-arbiter/arbiter/codec/internal/packed"
	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

var argsPlans sync.Map // reflect.Type of a struct -> *argsPlan

// take decodes arguments of either form into the struct v.
func (p *argsPlan) take(in []byte, v reflect.Value) (rest []byte, err error) {
	b := binding{signature: p.signature, budget: rules.Budget{Size: len(in)}}
	got := -1
	switch f := formOf(in); f {
	case msgp.FamArray:
		rest, got, err = p.takePositional(&b, in, v, 0)
	case msgp.FamMap:
		rest, err = p.takeNamed(&b, in, v)
	default:
		return nil, badForm(in, f)
	}
	if err != nil {
		return nil, err
	}
	return rest, b.finish(v, got)
}

// formOf returns the family of the first value of in.
func formOf(in []byte) msgp.Family {
	if len(in) == 0 {
		return msgp.FamNever
	}
	return msgp.FamilyOf(in[0])
}

// badForm is the error for arguments that are neither array nor map.
func badForm(in []byte, f msgp.Family) error {
	switch {
	case len(in) == 0:
		return ErrTruncated
	case f == msgp.FamNever:
		return msgp.ErrNever
	}
	return rules.Because(ErrType, "found %s, want an array or a map of arguments", f)
}

func (p *argsPlan) takeNamed(b *binding, in []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := msgp.TakeMapHead(in)
	if err != nil {
		return nil, err
	}
	for range n {
		var name []byte
		if name, rest, err = packed.TakeName(rest); err != nil {
			return nil, err
		}
		if len(name) == 0 {
			if rest, err = p.takeUnnamed(b, rest, v); err != nil {
				return nil, err
			}
			continue
		}
		i, err := b.bindName(name)
		if err != nil {
			return nil, err
		}
		param := &p.params[i]
		if err = p.plans[i].Afford(rest, 1, &b.budget); err == nil {
			rest, err = p.plans[i].Take(rest, param.in(v), 1)
		}
		if err != nil {
			return nil, rules.AtName(err, param.name)
		}
	}
	return rest, nil
}

// takeUnnamed decodes the array of positional arguments in a map.
func (p *argsPlan) takeUnnamed(b *binding, in []byte, v reflect.Value) ([]byte, error) {
	if f := formOf(in); f != msgp.FamArray {
		return nil, notPositional(in, f)
	}
	rest, _, err := p.takePositional(b, in, v, 1)
	return rest, err
}

// notPositional returns the error for a value under the empty key that is not an array.
func notPositional(in []byte, f msgp.Family) error {
	if len(in) == 0 {
		return ErrTruncated
	}
	return rules.Because(ErrType, "found %s under the empty key, want the array of the positional arguments", f)
}

// takePositional decodes an array of arguments, and returns their number.
func (p *argsPlan) takePositional(b *binding, in []byte, v reflect.Value, depth int) (rest []byte, n int, err error) {
	n, rest, err = msgp.TakeArrayHead(in)
	if err != nil {
		return nil, 0, err
	}
	fixed, err := b.bindPositional(n)
	if err != nil {
		return nil, 0, err
	}
	for i := range fixed {
		param := &p.params[i]
		if err = b.bind(i); err == nil {
			if err = p.plans[i].Afford(rest, depth+1, &b.budget); err == nil {
				rest, err = p.plans[i].Take(rest, param.in(v), depth+1)
			}
			if err != nil {
				err = rules.AtName(err, param.name)
			}
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if n > fixed {
		last := &p.params[fixed]
		if err = p.plans[fixed].AffordElems(rest, n-fixed, depth, &b.budget); err == nil {
			rest, err = p.plans[fixed].TakeElems(rest, n-fixed, last.in(v), depth)
		}
		if err != nil {
			return nil, 0, rules.AtName(err, last.name)
		}
	}
	return rest, n, nil
}

// takeArguments decodes arguments of either form into a.
func takeArguments(in []byte, a *Arguments) (rest []byte, err error) {
	*a = Arguments{}
	switch f := formOf(in); f {
	case msgp.FamArray:
		a.Positional, rest, err = takeUntyped(in, 0)
		return rest, err
	case msgp.FamMap:
	default:
		return nil, badForm(in, f)
	}
	n, rest, err := msgp.TakeMapHead(in)
	if err != nil {
		return nil, err
	}
	positional := false
	for range n {
		var name []byte
		if name, rest, err = packed.TakeName(rest); err != nil {
			return nil, err
		}
		if len(name) > 0 {
			if rest, err = takeNamedAny(rest, a, string(name)); err != nil {
				return nil, rules.AtName(err, string(name))
			}
			continue
		}
		switch f := formOf(rest); {
		case positional:
			return nil, errTwicePositional
		case f != msgp.FamArray:
			return nil, notPositional(rest, f)
		}
		positional = true
		if a.Positional, rest, err = takeUntyped(rest, 1); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// takeNamedAny decodes the next value into a.Named.
func takeNamedAny(in []byte, a *Arguments, name string) (rest []byte, err error) {
	if _, twice := a.Named[name]; twice {
		return nil, ErrDuplicate
	}
	if a.Named == nil {
		a.Named = make(map[string]any)
	}
	a.Named[name], rest, err = packed.TakeAny(in, 1)
	return rest, err
}

// takeUntyped decodes an array of values. An empty array becomes nil, so that a call without arguments
// decodes to the zero value.
func takeUntyped(in []byte, depth int) (s []any, rest []byte, err error) {
	n, rest, err := msgp.TakeArrayHead(in)
	if err != nil || n == 0 {
		return nil, rest, err
	}
	return packed.TakeAnyElems(rest, n, depth)
}
