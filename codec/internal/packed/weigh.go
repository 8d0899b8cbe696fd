package packed

import (
	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// isHeavy reports whether a value of the plan may need more than rules.PerByte for each byte of its input.
func (p *Plan) isHeavy(seen map[*Plan]bool) bool {
	if seen[p] {
		return false // an outer call examines this plan
	}
	seen[p] = true
	switch p.dec {
	case opSlice, opPointer:
		return p.elem.typ.Size() > rules.PerByte || p.elem.isHeavy(seen)
	case opArray:
		return p.elem.isHeavy(seen)
	case opMap:
		return p.mapKey.typ.Size()+p.elem.typ.Size() > rules.PerByte || p.elem.isHeavy(seen)
	case opStruct:
		for i := range p.fields {
			if f := &p.fields[i]; f.embedded > rules.PerByte || f.plan.isHeavy(seen) {
				return true
			}
		}
	}
	return false
}

// Afford weighs the next value of in, and returns an error if the message needs too much memory with it. Input that can't be
// read is weighed up to the error, which decoding will report.
func (p *Plan) Afford(in []byte, depth int, b *rules.Budget) error {
	if !p.heavy && !b.IsLong() {
		return nil
	}
	_, _ = p.weigh(in, depth, b)
	return b.Check()
}

// AffordAny is Afford for a value that is decoded into an any.
func AffordAny(in []byte, depth int, b *rules.Budget) error {
	if !b.IsLong() {
		return nil
	}
	_, _ = weighAny(in, depth, b)
	return b.Check()
}

// AffordElems is Afford for the next n values, which are elements of a slice.
func (p *Plan) AffordElems(in []byte, n, depth int, b *rules.Budget) error {
	if p.dec != opSlice || !p.heavy && !b.IsLong() {
		return nil
	}
	_, _ = p.weighElems(in, n, depth, b)
	return b.Check()
}

// weigh adds the memory that the first value of in needs to b, and returns the bytes after the value. It stops as soon as the
// message needs too much.
func (p *Plan) weigh(in []byte, depth int, b *rules.Budget) (rest []byte, ok bool) {
	if depth > rules.MaxDepth || b.Need > b.Limit() {
		return nil, false
	}
	if !p.heavy && !b.IsLong() || msgp.IsNil(in) {
		return skip(in, depth)
	}
	var n int
	var err error
	switch p.dec {
	case opPointer:
		b.Need += int64(p.elem.typ.Size())
		return p.elem.weigh(in, depth, b)
	case opSlice, opArray:
		if n, rest, err = msgp.TakeArrayHead(in); err != nil {
			return nil, false
		}
		return p.weighElems(rest, n, depth, b)
	case opMap:
		if n, rest, err = msgp.TakeMapHead(in); err != nil {
			return nil, false
		}
		for range n {
			if rest, ok = skip(rest, depth+1); !ok {
				return nil, false
			}
			b.Need += int64(p.mapKey.typ.Size() + p.elem.typ.Size())
			if rest, ok = p.elem.weigh(rest, depth+1, b); !ok {
				return nil, false
			}
		}
		return rest, true
	case opStruct:
		return p.weighStruct(in, depth, b)
	case opInterface, opAnyMap:
		return weighAny(in, depth, b)
	}
	return skip(in, depth)
}

func (p *Plan) weighStruct(in []byte, depth int, b *rules.Budget) (rest []byte, ok bool) {
	n, rest, err := msgp.TakeMapHead(in)
	if err != nil {
		return nil, false
	}
	for range n {
		var name []byte
		if name, rest, err = msgp.TakeString(rest); err != nil {
			return nil, false
		}
		if i, known := p.byName[string(name)]; known {
			b.Need += int64(p.fields[i].embedded)
			rest, ok = p.fields[i].plan.weigh(rest, depth+1, b)
		} else {
			rest, ok = skip(rest, depth+1)
		}
		if !ok {
			return nil, false
		}
	}
	return rest, true
}

// weighElems is weigh for the next n elements of a slice or array.
func (p *Plan) weighElems(in []byte, n, depth int, b *rules.Budget) (rest []byte, ok bool) {
	for range n {
		if p.dec == opSlice {
			b.Need += int64(p.elem.typ.Size())
		}
		if in, ok = p.elem.weigh(in, depth+1, b); !ok {
			return nil, false
		}
	}
	return in, true
}

// weighAny is weigh for a value that is decoded into an any.
func weighAny(in []byte, depth int, b *rules.Budget) (rest []byte, ok bool) {
	if depth > rules.MaxDepth || len(in) == 0 || b.Need > b.Limit() {
		return nil, false
	}
	var n int
	var err error
	switch msgp.FamilyOf(in[0]) {
	case msgp.FamArray:
		b.Need += rules.HeadSize
		if n, rest, err = msgp.TakeArrayHead(in); err != nil {
			return nil, false
		}
		for range n {
			b.Need += rules.AnySize
			if rest, ok = weighAny(rest, depth+1, b); !ok {
				return nil, false
			}
		}
		return rest, true
	case msgp.FamMap:
		b.Need += rules.MapSize
		if n, rest, err = msgp.TakeMapHead(in); err != nil {
			return nil, false
		}
		for range n {
			b.Need += rules.EntrySize
			if rest, ok = weighAny(rest, depth+1, b); ok {
				rest, ok = weighAny(rest, depth+1, b)
			}
			if !ok {
				return nil, false
			}
		}
		return rest, true
	case msgp.FamNumber:
		b.Need += rules.NumberSize
	case msgp.FamNil, msgp.FamBool:
	default:
		b.Need += rules.HeadSize
	}
	return skip(in, depth)
}

func skip(in []byte, depth int) ([]byte, bool) {
	rest, err := msgp.Skip(in, depth)
	return rest, err == nil
}
