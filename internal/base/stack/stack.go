// Package stack records where a panic began.
package stack

import (
	"runtime/debug"
	"strings"

	"github.com/go-arbiter/arbiter/internal/base/cut"
)

// Max is the number of bytes of a stack that are kept. The first lines, which say where the
// panic began, are always among them.
const Max = 16 << 10

// OfPanic returns the stack of a panic, from the frame of the panic on, at most [Max] bytes. It
// is to be called by the deferred function that recovers the panic.
func OfPanic() string {
	s := string(debug.Stack())
	// The frames above it belong to taking the stack.
	if i := strings.LastIndex(s, "\npanic("); i >= 0 {
		s = s[i+1:]
	}
	return cut.To(s, Max)
}
