package codec

import (
	"maps"
	"slices"

	"github.com/go-arbiter/arbiter/codec/internal/packed"
	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// AppendParams appends bytes that depend only on the values of some parameters of a call: the named
// ones, or all if no name is given. The order of the names does not matter. Equal values have equal
// bytes, whatever codec the call is sent with, and whether they are in a struct or in [Arguments] by
// name.
//
// The bytes are those of [Msgpack] for a map of the parameters by name, sorted by name. Without names,
// positional [Arguments] are in an array under the empty key of that map. A value that differs only in
// its type may have other bytes: 1.0 is not 1. A type with an encoding of its own, such as MarshalText,
// must always encode equal values as equal bytes.
//
// A name that is not a parameter of the struct, or that [Arguments] have no value for, is [ErrUnknown].
// Then no bytes are appended.
func AppendParams(dst []byte, args any, names ...string) ([]byte, error) {
	named, positional, err := paramsOf(args)
	if err == nil && len(names) > 0 {
		named, err = selected(named, names, len(positional))
		positional = nil
	}
	if err != nil {
		return dst, finish(msgpackName, err)
	}
	n := len(named)
	if len(positional) > 0 {
		n++
	}
	out, err := packed.AppendMapHead(dst, n)
	if err == nil && len(positional) > 0 {
		out, _ = packed.AppendString(out, "") // sorts first
		out, err = packed.AppendAnySlice(out, positional, 1)
	}
	if err == nil {
		out, err = packed.AppendNamed(out, named, 0)
	}
	if err != nil {
		return dst, finish(msgpackName, err)
	}
	return out, nil
}

// paramsOf returns the arguments of a call by name, and those that have no name.
func paramsOf(args any) (named map[string]any, positional []any, err error) {
	if args == nil {
		return nil, nil, nil
	}
	if a, ok := argumentsOf(args); ok {
		if _, ok := a.Named[""]; ok {
			return nil, nil, errNoName
		}
		return a.Named, a.Positional, nil
	}
	v, err := argsValue(args)
	if err != nil {
		return nil, nil, err
	}
	sig, err := signatureOf(v.Type())
	if err != nil {
		return nil, nil, err
	}
	named = make(map[string]any, len(sig.params))
	for i := range sig.params {
		named[sig.params[i].name] = sig.params[i].in(v).Interface()
	}
	return named, nil, nil
}

// selected returns the arguments with the given names.
func selected(named map[string]any, names []string, positional int) (map[string]any, error) {
	some := make(map[string]any, len(names))
	for _, name := range names {
		v, ok := named[name]
		switch {
		case !ok && positional > 0:
			return nil, rules.AtName(rules.Because(ErrUnknown, "the call has %d arguments by position, which have no names; give them by name", positional), name)
		case !ok:
			return nil, rules.AtName(rules.Because(ErrUnknown, "the call has no such argument; it has %v", slices.Sorted(maps.Keys(named))), name)
		}
		some[name] = v
	}
	return some, nil
}
