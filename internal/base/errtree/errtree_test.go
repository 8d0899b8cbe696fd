package errtree

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// ring unwraps to next, which may be the ring itself.
type ring struct{ next error }

func (r *ring) Error() string { panic("its message must not be read") }
func (r *ring) Unwrap() error { return r.next }

type fork struct{ next []error }

func (f *fork) Error() string   { panic("its message must not be read") }
func (f *fork) Unwrap() []error { return f.next }

func TestFinite(t *testing.T) {
	leaf := errors.New("leaf")
	many := make([]error, Most/2)
	for i := range many {
		many[i] = leaf
	}
	deep := leaf
	for range Most - 1 {
		deep = fmt.Errorf("%w", deep)
	}
	for name, err := range map[string]error{
		"nil": nil, "leaf": leaf, "chain": fmt.Errorf("a: %w", leaf), "join": errors.Join(many...),
		"deep": deep, "nil inside": &ring{}, "nils inside": &fork{[]error{nil, leaf}},
	} {
		if got := Finite(err); got != err {
			t.Errorf("%s: %v", name, got)
		}
	}

	self := &ring{}
	self.next = self
	a, b := &ring{}, &ring{}
	a.next, b.next = b, a
	list := &fork{}
	list.next = []error{leaf, list}
	double := &fork{}
	double.next = []error{double, double}
	wide := &fork{make([]error, Most)}
	for name, err := range map[string]error{
		"self": self, "two": a, "list": list, "double": double, "wide": wide,
		"below": errors.Join(leaf, &ring{self}), "too deep": fmt.Errorf("%w", deep),
	} {
		got := Finite(err)
		if got == nil || errors.Unwrap(got) != nil || !strings.Contains(got.Error(), fmt.Sprintf("%T", err)) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
