// Package errtree protects against errors that unwrap without end. With such an error
// [errors.Is] and [errors.As] loop for ever, or overflow the stack, and that ends the process.
package errtree

import "fmt"

// Most is how many errors an error may wrap, including itself. Batches join thousands; an error
// for people to read never joins so many.
const Most = 100_000

// Finite returns err if it wraps at most [Most] errors. Otherwise it returns an error that
// names the type of err and wraps nothing. It does not call the Error method of such an err,
// because that may recurse just as Unwrap does.
func Finite(err error) error {
	if finite(err) {
		return err
	}
	return &endless{of: fmt.Sprintf("%T", err)}
}

// finite walks the tree of errors in the order of errors.Is, with a stack of its own.
func finite(err error) bool {
	rest := []error(nil)
	for n := 0; ; {
		if err != nil {
			if n++; n > Most {
				return false
			}
			switch e := err.(type) { //nolint:errorlint // walks the tree itself
			case interface{ Unwrap() error }:
				err = e.Unwrap()
				continue
			case interface{ Unwrap() []error }:
				list := e.Unwrap()
				if n+len(rest)+len(list) > Most {
					return false
				}
				rest = append(rest, list...)
			}
		}
		if len(rest) == 0 {
			return true
		}
		err, rest = rest[len(rest)-1], rest[:len(rest)-1]
	}
}

// endless replaces an error that wraps too many errors.
type endless struct{ of string }

func (e *endless) Error() string {
	return fmt.Sprintf("an error of type %s wraps itself, or more than %d errors: its message and what it wraps are not read", e.of, Most)
}
