package codec

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// The reasons why encoding, decoding and [CheckArgs] fail, for errors.Is. An error from a method of the
// value's type wraps none of them.
var (
	// ErrOverflow: a number does not fit the Go type without loss. It is out of range, negative
	// for an unsigned type, or has a fraction for an integer type.
	ErrOverflow = rules.ErrOverflow
	// ErrMissing: a parameter that is not optional has no argument.
	ErrMissing = errors.New("missing parameter")
	// ErrUnknown: an argument has no parameter. Its name is unknown, or there are more positional
	// arguments than parameters.
	ErrUnknown = errors.New("unknown parameter")
	// ErrDuplicate: an argument is given twice, or two keys of a map have the same encoding.
	ErrDuplicate = rules.ErrDuplicate
	// ErrTruncated: the input ends inside the value.
	ErrTruncated = rules.ErrTruncated
	// ErrTrailing: there are bytes after the value.
	ErrTrailing = rules.ErrTrailing
	// ErrSyntax: the bytes are not in the codec's format.
	ErrSyntax = rules.ErrSyntax
	// ErrType: the value has another type than the destination.
	ErrType = rules.ErrType
	// ErrUnsupported: the Go type or value can't be encoded or decoded, such as a channel, a
	// function, or a map with structs as keys.
	ErrUnsupported = rules.ErrUnsupported
	// ErrExpansion: the decoded value would need too much memory for the size of its encoding. An
	// example is a slice of large, empty structs. The package documentation has the limits.
	ErrExpansion = rules.ErrExpansion
	// ErrTooDeep: the value is nested deeper than 1000 levels, or is cyclic.
	ErrTooDeep = rules.ErrTooDeep
)

// Error is the error of a [Codec]: the reason, and where in the value it occurred.
type Error struct {
	// Codec is the name of the codec. It is empty in an error of CheckArgs and CheckResult.
	Codec string
	// Path tells where: the name of the parameter, then field names, indexes and entries of maps,
	// as in "opts.Sizes[3]" and "opts.Ages[key 0]". Keys of maps are shown only if encoding
	// fails. Path is empty for the value as a whole, and ends in an ellipsis if it is very long.
	Path string
	// Err is the reason. It wraps one of the sentinel errors of this package, or the error of a
	// method of the value's type.
	Err error
}

// Error returns the codec, the path and the reason, as in
// "msgpack: y: a number overflows int8".
func (e *Error) Error() string {
	codec := e.Codec
	if codec == "" {
		codec = "codec"
	}
	if e.Path == "" {
		return codec + ": " + e.Err.Error()
	}
	return codec + ": " + e.Path + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// PanicError is the error for a method of a value's type, or of a codec from outside this package, that
// panicked. [Error] wraps it.
type PanicError struct {
	Doing string // the method, such as "UnmarshalText of main.Color"
	Value any    // the value of the panic
	Stack string // the stack of the panic, at most 16 KiB

	hidden bool // the method decodes, so Value may contain the data that it was to decode
}

// Error returns the method and the value of the panic. If the method decodes, it shows only the type of
// the value, since the value may contain data of the message. It always shows errors of the Go runtime.
func (e *PanicError) Error() string {
	if _, ours := e.Value.(runtime.Error); e.hidden && !ours {
		return fmt.Sprintf("%s panicked with a %T", e.Doing, e.Value)
	}
	return fmt.Sprintf("%s panicked: %v", e.Doing, e.Value)
}

// Unwrap returns the value of the panic if it is an error whose message may be shown.
func (e *PanicError) Unwrap() error {
	if e.hidden {
		return nil
	}
	err, _ := e.Value.(error)
	return err
}

// Is reports whether the value of the panic is an error that matches target.
func (e *PanicError) Is(target error) bool {
	err, ok := e.Value.(error)
	return ok && errors.Is(err, target)
}

// As does errors.As with the value of the panic, if it is an error.
func (e *PanicError) As(target any) bool {
	err, ok := e.Value.(error)
	return ok && errors.As(err, target)
}

// finish turns an error from inside a codec into the error that callers get.
func finish(codec string, err error) error {
	if err == nil {
		return nil
	}
	l := rules.Locate(err)
	e := &Error{Codec: codec, Path: strings.TrimPrefix(l.Path, "."), Err: l.Err}
	if p, ok := l.Err.(*rules.PanicError); ok { //nolint:errorlint // never wrapped
		e.Err = &PanicError{Doing: p.Doing, Value: p.Value, Stack: p.Stack, hidden: p.Hidden}
	}
	return e
}
