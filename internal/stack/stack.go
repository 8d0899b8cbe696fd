// Package stack tells where a panic began.
package stack

import (
	"runtime/debug"
	"strings"
)

// Max is the most bytes of a stack that are kept. The first lines are those of the
// place.
const Max = 16 << 10

// OfPanic returns the stack of a panic from the panic's own frame on, at most [Max]
// bytes. The deferred function that recovers the panic calls it.
func OfPanic() string {
	s := string(debug.Stack())
	// What is above that frame is how the stack was taken.
	if i := strings.LastIndex(s, "\npanic("); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > Max {
		s = s[:Max]
	}
	return s
}
