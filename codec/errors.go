package codec

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-arbiter/arbiter/internal/base/cut"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The reasons why encoding, decoding and [CheckArgs] fail, for errors.Is. An error from a method of the
// value's type wraps none of them.
var (
	// ErrOverflow: a number does not fit the Go type without loss. It is out of range, negative
	// for an unsigned type, or has a fraction for an integer type.
	ErrOverflow = errors.New("number does not fit the type")
	// ErrMissing: a parameter that is not optional has no argument.
	ErrMissing = errors.New("missing parameter")
	// ErrUnknown: an argument has no parameter. Its name is unknown, or there are more positional
	// arguments than parameters.
	ErrUnknown = errors.New("unknown parameter")
	// ErrDuplicate: an argument is given twice, or two keys of a map have the same encoding.
	ErrDuplicate = errors.New("given twice")
	// ErrTruncated: the input ends inside the value.
	ErrTruncated = msgp.ErrTruncated
	// ErrTrailing: there are bytes after the value.
	ErrTrailing = errors.New("bytes after the value")
	// ErrSyntax: the bytes are not in the codec's format.
	ErrSyntax = msgp.ErrSyntax
	// ErrType: the value has another type than the destination.
	ErrType = errors.New("wrong type")
	// ErrUnsupported: the Go type or value can't be encoded or decoded, such as a channel, a
	// function, or a map with structs as keys.
	ErrUnsupported = errors.New("unsupported type")
	// ErrExpansion: the decoded value would need too much memory for the size of its encoding. An
	// example is a slice of large, empty structs. The package documentation has the limits.
	ErrExpansion = errors.New("too much memory")
	// ErrTooDeep: the value is nested deeper than 1000 levels, or is cyclic.
	ErrTooDeep = msgp.ErrTooDeep
)

// maxDepth is how deep arrays and maps may be nested. It bounds the stack that decoding a message uses.
const maxDepth = msgp.MaxDepth

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

// refusal is an error from a method that decodes. Its message is not shown, since it may contain data of
// the message, as the errors of time.Parse do. errors.Is and errors.As find the error itself.
type refusal struct {
	doing string
	err   error
}

func (r *refusal) Error() string        { return fmt.Sprintf("%s failed with a %T", r.doing, r.err) }
func (r *refusal) Is(target error) bool { return errors.Is(r.err, target) }
func (r *refusal) As(target any) bool   { return errors.As(r.err, target) }

// reason is a sentinel error with a text that says more than the text of the sentinel.
type reason struct {
	sentinel error
	text     string
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.sentinel }

func because(sentinel error, format string, args ...any) error {
	return &reason{sentinel, fmt.Sprintf(format, args...)}
}

// overflows returns the error for a number that t can't hold, given in its textual form. The error does
// not show the number, since errors of decoding are stored and logged.
func overflows(number string, t reflect.Type) error {
	if strings.ContainsAny(number, "nN") {
		return because(ErrOverflow, "a number that is not finite does not fit %s", t)
	}
	if strings.ContainsAny(number, ".eE") {
		return because(ErrOverflow, "a number with a fraction or an exponent does not fit %s", t)
	}
	return because(ErrOverflow, "a number overflows %s", t)
}

// finish turns an error from inside a codec into the error that callers get.
func finish(codec string, err error) error {
	if err == nil {
		return nil
	}
	e := located(err)
	e.Codec = codec
	e.Path = strings.TrimPrefix(e.Path, ".")
	return e
}

// located returns err as an Error that may be changed. Inside the package, callers prepend segments to
// Path while they return the error, and Path begins with a dot if it begins with a name.
func located(err error) *Error {
	// Not errors.As: an Error deeper in the chain comes from another codec call, in a method
	// of the user's type.
	if e, ok := err.(*Error); ok { //nolint:errorlint // so not errors.As
		return e
	}
	return &Error{Err: err}
}

// maxPath is the length in bytes above which the inner end of a path is cut off.
const maxPath = 200

func prepend(err error, segment string) error {
	e := located(err)
	if len(e.Path) > maxPath {
		e.Path = cut.To(e.Path, maxPath)
	}
	e.Path = segment + e.Path
	return e
}

// atName adds the name of the parameter, field or key where err occurred.
func atName(err error, name string) error { return prepend(err, nameSegment(name)) }

// atEntry adds the index of the entry of a map where err occurred, in the order of the input. The key is
// not shown, since it is a value.
func atEntry(err error, i int) error { return prepend(err, entrySegment(i)) }

func entrySegment(i int) string { return "[key " + strconv.Itoa(i) + "]" }

// atSomeEntry is atEntry for a map whose order in the input is no longer known.
func atSomeEntry(err error) error { return prepend(err, "[key]") }

// atIndex adds the index of an array where err occurred.
func atIndex(err error, i int) error { return prepend(err, "["+strconv.Itoa(i)+"]") }

func nameSegment(name string) string {
	if validName(name) && len(name) <= maxShown {
		return "." + name
	}
	return "[" + strconv.Quote(shorten(name)) + "]"
}

// maxShown is how many bytes of a name from the input an error shows, since errors are stored and logged.
const maxShown = 64

func shorten(s string) string { return cut.To(s, maxShown) }

// validName reports whether s can be the name of a parameter: a letter or underscore, then letters,
// digits, underscores and hyphens. Such names are unambiguous in paths, tags and command lines.
func validName(s string) bool {
	for i, r := range s {
		switch {
		case r == '_' || unicode.IsLetter(r):
		case i > 0 && (r == '-' || unicode.IsDigit(r)):
		default:
			return false
		}
	}
	return s != ""
}
