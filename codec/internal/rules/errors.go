package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-arbiter/arbiter/internal/base/cut"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The reasons of errors. Package codec exports and documents them.
var (
	ErrOverflow    = errors.New("number does not fit the type")
	ErrDuplicate   = errors.New("given twice")
	ErrTruncated   = msgp.ErrTruncated
	ErrTrailing    = errors.New("bytes after the value")
	ErrSyntax      = msgp.ErrSyntax
	ErrType        = errors.New("wrong type")
	ErrUnsupported = errors.New("unsupported type")
	ErrExpansion   = errors.New("too much memory")
	ErrTooDeep     = msgp.ErrTooDeep
)

// MaxDepth is how deep arrays and maps may be nested. It bounds the stack that decoding a message uses.
const MaxDepth = msgp.MaxDepth

// LocatedError is an error with the place in the value where it occurred. Package codec makes a codec.Error of it.
type LocatedError struct {
	// Path begins with a dot if it begins with a name. Callers prepend segments to it while they return the
	// error.
	Path string
	Err  error
}

func (e *LocatedError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the error without its place.
func (e *LocatedError) Unwrap() error { return e.Err }

// Locate returns err as a LocatedError that may be changed.
func Locate(err error) *LocatedError {
	if e, ok := err.(*LocatedError); ok { //nolint:errorlint // never wrapped
		return e
	}
	return &LocatedError{Err: err}
}

// PanicError is a panic of a method of a value's type. Package codec makes a codec.PanicError of it.
type PanicError struct {
	Doing  string // the method, such as "UnmarshalText of main.Color"
	Value  any    // the value of the panic
	Stack  string
	Hidden bool // the method decodes, so Value may contain the data that it was to decode
}

func (p *PanicError) Error() string { return p.Doing + " panicked" }

// Refuse returns the error for an error from a method that decodes. Its message is not shown, since it may contain data of the
// message, as the errors of time.Parse do. errors.Is and errors.As find the error itself.
func Refuse(doing string, err error) error { return &refusal{doing, err} }

// refusal is the error that Refuse returns.
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

// Because returns an error that wraps the sentinel, with a text that says more.
func Because(sentinel error, format string, args ...any) error {
	return &reason{sentinel, fmt.Sprintf(format, args...)}
}

// Overflows returns the error for a number that t can't hold, given in its textual form. The error does
// not show the number, since errors of decoding are stored and logged.
func Overflows(number string, t reflect.Type) error {
	if strings.ContainsAny(number, "nN") {
		return Because(ErrOverflow, "a number that is not finite does not fit %s", t)
	}
	if strings.ContainsAny(number, ".eE") {
		return Because(ErrOverflow, "a number with a fraction or an exponent does not fit %s", t)
	}
	return Because(ErrOverflow, "a number overflows %s", t)
}

// MaxPath is the length in bytes above which the inner end of a path is cut off.
const MaxPath = 200

// Prepend adds a segment before the path to err.
func Prepend(err error, segment string) error {
	e := Locate(err)
	if len(e.Path) > MaxPath {
		e.Path = cut.To(e.Path, MaxPath)
	}
	e.Path = segment + e.Path
	return e
}

// AtName adds the name of the parameter, field or key where err occurred.
func AtName(err error, name string) error { return Prepend(err, NameSegment(name)) }

// AtEntry adds the index of the entry of a map where err occurred, in the order of the input. The key is
// not shown, since it is a value.
func AtEntry(err error, i int) error { return Prepend(err, EntrySegment(i)) }

// EntrySegment returns the segment of a path for an entry of a map.
func EntrySegment(i int) string { return "[key " + strconv.Itoa(i) + "]" }

// AtSomeEntry is AtEntry for a map whose order in the input is no longer known.
func AtSomeEntry(err error) error { return Prepend(err, "[key]") }

// AtIndex adds the index of an array where err occurred.
func AtIndex(err error, i int) error { return Prepend(err, "["+strconv.Itoa(i)+"]") }

// NameSegment returns the segment of a path for a name.
func NameSegment(name string) string {
	if ValidName(name) && len(name) <= maxShown {
		return "." + name
	}
	return "[" + strconv.Quote(Shorten(name)) + "]"
}

// maxShown is how many bytes of a name from the input an error shows, since errors are stored and logged.
const maxShown = 64

// Shorten cuts a name from the input for an error.
func Shorten(s string) string { return cut.To(s, maxShown) }

// ValidName reports whether s can be the name of a parameter: a letter or underscore, then letters,
// digits, underscores and hyphens. Such names are unambiguous in paths, tags and command lines.
func ValidName(s string) bool {
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
