package codec

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-arbiter/arbiter/internal/msgp"
)

// The reasons for which encoding, decoding and [CheckArgs] fail, for errors.Is.
// An error of a type's own method carries none of them.
var (
	// ErrOverflow: a number does not fit the Go type without loss: out of range,
	// negative for an unsigned type, or with a fraction for an integer type.
	ErrOverflow = errors.New("number does not fit the type")
	// ErrMissing: a parameter that is not optional has no argument.
	ErrMissing = errors.New("missing parameter")
	// ErrUnknown: an argument has no parameter: its name is unknown, or there are
	// more positional arguments than parameters.
	ErrUnknown = errors.New("unknown parameter")
	// ErrDuplicate: an argument is given twice, or two keys of a map are encoded
	// alike.
	ErrDuplicate = errors.New("given twice")
	// ErrTruncated: the input ends inside the value.
	ErrTruncated = msgp.ErrTruncated
	// ErrTrailing: there are bytes after the value.
	ErrTrailing = errors.New("bytes after the value")
	// ErrSyntax: the bytes are not of the codec's format at all.
	ErrSyntax = msgp.ErrSyntax
	// ErrType: the value is of another type than the destination.
	ErrType = errors.New("wrong type")
	// ErrUnsupported: the Go type or value cannot be encoded or decoded: a
	// channel, a function, a map with structs for keys.
	ErrUnsupported = errors.New("unsupported type")
	// ErrExpansion: the value would need too much memory for the bytes that were sent.
	// An example is a slice of large structs that are empty. The package documentation
	// has the limits.
	ErrExpansion = errors.New("too much memory")
	// ErrTooDeep: the value is nested deeper than 1000 levels, or is cyclic.
	ErrTooDeep = msgp.ErrTooDeep
)

// maxDepth is how many arrays and maps may be inside each other. It bounds the
// stack that a message can make its receiver use.
const maxDepth = msgp.MaxDepth

// Error is the error of a [Codec]: what went wrong, and where in the value.
type Error struct {
	// Codec is the name of the codec, and empty in an error of [CheckArgs].
	Codec string
	// Path leads to the place: the name of the parameter, then field names, indexes
	// and entries of maps as in "opts.Sizes[3]" and "opts.Ages[key 0]". Keys of maps
	// are shown only where encoding fails. It is empty for the value as a whole,
	// and ends in an ellipsis if it is very long.
	Path string
	// Err is the reason. It wraps one of the sentinel errors of this package, or
	// the error of a method of the value.
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

// PanicError says that a method of a value's type, or of a codec that is not of
// this package, panicked. It is in the chain of an [Error].
type PanicError struct {
	Doing string // such as "UnmarshalText of main.Color"
	Value any    // what it panicked with
	Stack string // where, at most 16 KiB

	hidden bool // a method that decodes has panicked, perhaps with what it was to decode
}

// Error says what panicked, and with what; of a method that decodes only of what type
// that is, unless the Go runtime says it: it may have been made of the value.
func (e *PanicError) Error() string {
	if _, ours := e.Value.(runtime.Error); e.hidden && !ours {
		return fmt.Sprintf("%s panicked with a %T", e.Doing, e.Value)
	}
	return fmt.Sprintf("%s panicked: %v", e.Doing, e.Value)
}

// Unwrap returns the value if it is an error whose message may be shown.
func (e *PanicError) Unwrap() error {
	if e.hidden {
		return nil
	}
	err, _ := e.Value.(error)
	return err
}

// Is reports whether the value is an error that is target.
func (e *PanicError) Is(target error) bool {
	err, ok := e.Value.(error)
	return ok && errors.Is(err, target)
}

// As finds in the value, if it is an error, what errors.As looks for.
func (e *PanicError) As(target any) bool {
	err, ok := e.Value.(error)
	return ok && errors.As(err, target)
}

// refusal is an error of a method that decodes. Its message may have been made of the
// value, as that of time.Parse is, so it is not shown; errors.Is and errors.As look
// through it.
type refusal struct {
	doing string
	err   error
}

func (r *refusal) Error() string        { return fmt.Sprintf("%s failed with a %T", r.doing, r.err) }
func (r *refusal) Is(target error) bool { return errors.Is(r.err, target) }
func (r *refusal) As(target any) bool   { return errors.As(r.err, target) }

// reason is a sentinel error that says more than the sentinel does.
type reason struct {
	sentinel error
	text     string
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.sentinel }

func because(sentinel error, format string, args ...any) error {
	return &reason{sentinel, fmt.Sprintf(format, args...)}
}

// overflows is the error for a number, in its textual form, that t cannot hold. It does
// not show the number: errors of decoding are stored and logged, and show no values.
func overflows(number string, t reflect.Type) error {
	if strings.ContainsAny(number, "nN") {
		return because(ErrOverflow, "a number that is not finite does not fit %s", t)
	}
	if strings.ContainsAny(number, ".eE") {
		return because(ErrOverflow, "a number with a fraction or an exponent does not fit %s", t)
	}
	return because(ErrOverflow, "a number overflows %s", t)
}

// finish turns an error from inside a codec into the one that callers see.
func finish(codec string, err error) error {
	if err == nil {
		return nil
	}
	e := located(err)
	e.Codec = codec
	e.Path = strings.TrimPrefix(e.Path, ".")
	return e
}

// located returns err as an Error that may be changed. Inside the package Path
// grows to the left while the error travels outwards, and begins with a dot if
// it begins with a name.
func located(err error) *Error {
	// An Error deeper in the chain belongs to another call, by a method of the
	// user's.
	if e, ok := err.(*Error); ok { //nolint:errorlint // so not errors.As
		return e
	}
	return &Error{Err: err}
}

// maxPath is the length in bytes above which a path loses its inner end.
const maxPath = 200

func prepend(err error, segment string) error {
	e := located(err)
	if len(e.Path) > maxPath {
		e.Path = cut(e.Path, maxPath) + "…"
	}
	e.Path = segment + e.Path
	return e
}

// atName says that err happened at the parameter, field or key of that name.
func atName(err error, name string) error { return prepend(err, nameSegment(name)) }

// atEntry says that err happened at that entry of a map, in the order in which they were
// sent. Its key is a value, which errors do not show.
func atEntry(err error, i int) error { return prepend(err, entrySegment(i)) }

func entrySegment(i int) string { return "[key " + strconv.Itoa(i) + "]" }

// atSomeEntry is atEntry where the order is not known any more.
func atSomeEntry(err error) error { return prepend(err, "[key]") }

// atIndex says that err happened at that index of an array.
func atIndex(err error, i int) error { return prepend(err, "["+strconv.Itoa(i)+"]") }

func nameSegment(name string) string {
	if validName(name) && len(name) <= maxShown {
		return "." + name
	}
	return "[" + strconv.Quote(shorten(name)) + "]"
}

// maxShown is how many bytes of a name or number from the input are shown, since
// errors are stored and logged.
const maxShown = 64

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return cut(s, maxShown) + "…"
}

// cut returns at most the first n bytes of s without splitting a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// validName reports whether s can be the name of a parameter: a letter or
// underscore, then letters, digits, underscores and hyphens. That keeps names
// unambiguous in paths, tags and command lines.
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
