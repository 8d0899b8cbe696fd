// Package guard keeps the faults of what users give to the library from its
// goroutines, whose panic would end the program.
package guard

import (
	"fmt"

	"github.com/go-arbiter/arbiter/codec"
)

// Codec is deferred by a function that calls a method of a codec. If that panics,
// it sets err to a [*codec.Error] that names both.
func Codec(name, method string, err *error) {
	switch p := recover().(type) {
	case nil:
	case error:
		*err = &codec.Error{Codec: name, Err: fmt.Errorf("%s panicked: %w", method, p)}
	default:
		*err = &codec.Error{Codec: name, Err: fmt.Errorf("%s panicked: %v", method, p)}
	}
}
