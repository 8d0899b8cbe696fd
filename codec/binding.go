package codec

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// binding records which parameters have an argument while the arguments of one call are decoded. Both
// codecs use it, so that both have the same rules.
type binding struct {
	*signature
	bound      bits
	positional bool // the array under the empty key has been read
	budget     rules.Budget
}

// errTwicePositional is the error for a map that has the empty key twice.
var errTwicePositional = rules.Because(ErrDuplicate, "the positional arguments are given twice")

// bits is a set of small numbers. It allocates only for numbers from 64 on.
type bits struct {
	low  uint64
	high map[int]bool
	n    int // the size of the set
}

func (b *bits) has(i int) bool {
	if i < 64 {
		return b.low&(1<<i) != 0
	}
	return b.high[i]
}

// add adds i, which must not be in the set yet.
func (b *bits) add(i int) {
	b.n++
	if i < 64 {
		b.low |= 1 << i
		return
	}
	if b.high == nil {
		b.high = make(map[int]bool)
	}
	b.high[i] = true
}

// bind records that parameter i has an argument. A second argument for it is an error.
func (b *binding) bind(i int) error {
	if b.bound.has(i) {
		return rules.AtName(ErrDuplicate, b.params[i].name)
	}
	b.bound.add(i)
	return nil
}

// bindName records that the parameter with that name has an argument, and returns its index.
func (b *binding) bindName(name []byte) (int, error) {
	// Senders write the parameters in order, so the next parameter is tried first.
	i := b.bound.n
	if i >= len(b.params) || b.params[i].name != string(name) {
		var ok bool
		if i, ok = b.byName[string(name)]; !ok {
			return 0, rules.AtName(rules.Because(ErrUnknown, "unknown parameter; there are %s", b.names()), string(name))
		}
	}
	return i, b.bind(i)
}

// bindPositional records that there are n positional arguments. Each of the first fixed arguments
// belongs to one parameter, and the caller must bind it. If there are more, they belong to the variadic
// parameter, which bindPositional binds.
func (b *binding) bindPositional(n int) (fixed int, err error) {
	if b.positional {
		return 0, errTwicePositional
	}
	b.positional = true
	fixed = len(b.params)
	if b.variadic {
		fixed--
	}
	switch {
	case n <= fixed:
		return n, nil
	case b.variadic:
		return fixed, b.bind(fixed)
	}
	return 0, rules.Because(ErrUnknown, "%s", b.count(n))
}

// finish handles the parameters without an argument. It sets the fields of optional ones in v to their
// defaults, and returns an error for the first that is not optional. If all arguments were positional,
// got is their number, else -1.
func (b *binding) finish(v reflect.Value, got int) error {
	if b.bound.n == len(b.params) {
		return nil
	}
	for i := range b.params {
		p := &b.params[i]
		switch {
		case b.bound.has(i):
		case p.optional && p.def.IsValid():
			p.in(v).Set(p.def)
		case p.optional:
			p.in(v).SetZero()
		case got >= 0:
			return rules.AtName(rules.Because(ErrMissing, "missing parameter: %s", b.count(got)), p.name)
		default:
			return rules.AtName(ErrMissing, p.name)
		}
	}
	return nil
}

// count returns the error text for n positional arguments: it has n and the number wanted.
func (b *binding) count(n int) string {
	want := strconv.Itoa(b.atLeast)
	switch {
	case b.variadic:
		want = "at least " + want
	case b.atLeast < len(b.params):
		want = fmt.Sprintf("%s to %d", want, len(b.params))
	}
	return fmt.Sprintf("positional arguments: got %d, want %s", n, want)
}

// names returns the names of the parameters for an error message.
func (b *binding) names() string {
	if len(b.params) == 0 {
		return "none"
	}
	s := ""
	for i := range b.params {
		if len(s) > rules.MaxPath {
			return s + ", …"
		}
		if i > 0 {
			s += ", "
		}
		s += b.params[i].name
	}
	return s
}
