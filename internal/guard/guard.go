// Package guard keeps the faults of what users give to the library from its
// goroutines, whose panic would end the program.
package guard

import (
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/stack"
)

// Codec is deferred by a function that calls a method of a codec. If that panics,
// it sets err to a [*codec.Error] that names both and has a [*codec.PanicError].
func Codec(name, method string, err *error) {
	if p := recover(); p != nil {
		*err = &codec.Error{Codec: name, Err: &codec.PanicError{Doing: method, Value: p, Stack: stack.OfPanic()}}
	}
}
