// Package guard keeps panics in code of users, such as codecs, from ending the program. Without
// it they would do so, because the library calls that code in goroutines of its own.
package guard

import (
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/stack"
)

// Codec is to be deferred by a function that calls a method of a codec. If the method panics,
// Codec sets err to a [*codec.Error] with the name of the codec, which wraps a
// [*codec.PanicError] with the name of the method.
func Codec(name, method string, err *error) {
	if p := recover(); p != nil {
		*err = &codec.Error{Codec: name, Err: &codec.PanicError{Doing: method, Value: p, Stack: stack.OfPanic()}}
	}
}
