// Package errtree protects against errors that unwrap without end. Such an error
// makes [errors.Is] and [errors.As] loop for ever, or overflow the stack, which
// ends the process.
package errtree

import "fmt"

// Most is how many errors an error may wrap, itself counted. Batches join
// thousands; no error that is meant to be read joins so many.
const Most = 100_000

// Finite returns err if it wraps at most [Most] errors. Otherwise it returns an
// error that names the type of err and wraps nothing. The message of such an err
// is not asked for: its Error method may well recurse as Unwrap does.
func Finite(err error) error {
	if finite(err) {
		return err
	}
	return &endless{of: fmt.Sprintf("%T", err)}
}

// finite walks the tree in place of errors.Is, with a stack of its own.
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

type endless struct{ of string }

func (e *endless) Error() string {
	return fmt.Sprintf("an error of type %s wraps itself, or more than %d errors: its message and what it wraps are not read", e.of, Most)
}
