package codec

import (
	"reflect"

	"github.com/go-arbiter/arbiter/codec/internal/packed"
	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// CheckArgs returns an error unless the struct type t can be the arguments of a task: its parameters
// must have valid and different names, and types that [Msgpack] can encode and decode. The type in an
// interface is checked only when a call is encoded.
//
// The error is an [*Error] without a codec. Its path leads to the wrong type: "[]" stands for an
// element, and "[key]" for a key.
func CheckArgs(t reflect.Type) error {
	if t == nil || t.Kind() != reflect.Struct {
		return finish("", rules.Because(ErrType, "arguments must be a struct, not %v", t))
	}
	sig, err := signatureOf(t)
	if err != nil {
		return finish("", err)
	}
	for i := range sig.params {
		if err := packed.Check(sig.params[i].typ); err != nil {
			return finish("", rules.AtName(err, sig.params[i].name))
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
		return finish("", rules.Because(ErrType, "no type"))
	}
	return finish("", packed.Check(t))
}
