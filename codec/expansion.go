package codec

import (
	"reflect"

	"github.com/go-arbiter/arbiter/internal/msgp"
)

// An element of a slice may be one byte in the input and a large struct in memory, so a
// message of 1 MiB could make its receiver allocate gigabytes. Types in which this can
// happen are weighed before they are decoded: what the value will need is counted and
// compared with the bytes that were sent. Other types, which are nearly all, need no more
// than perByte for each byte by themselves and are not looked at.
const (
	// perByte is how many bytes of memory each byte of the input may need.
	perByte = 256
	// free is how many bytes a value may need besides, so that nothing small is refused.
	free = 1 << 20
)

// fits returns an error if size bytes of input would need more memory than they may.
func fits(size, need int) error {
	if need <= free+size*perByte {
		return nil
	}
	return because(ErrExpansion, "%d bytes would need %d bytes of memory; the limit is %d for each byte, and %d besides; "+
		"let large elements that may be empty be pointers, and send null for those that are", size, need, perByte, free)
}

// isHeavy reports whether a value of the plan may need more than perByte for each byte of
// its input.
func (p *plan) isHeavy(seen map[*plan]bool) bool {
	if seen[p] {
		return false // whoever looks at it already finds it
	}
	seen[p] = true
	switch p.dec {
	case opSlice, opPointer:
		return p.elem.typ.Size() > perByte || p.elem.isHeavy(seen)
	case opArray:
		return p.elem.isHeavy(seen)
	case opMap:
		return p.mapKey.typ.Size()+p.elem.typ.Size() > perByte || p.elem.isHeavy(seen)
	case opStruct:
		for i := range p.fields {
			if f := &p.fields[i]; f.embedded > perByte || f.plan.isHeavy(seen) {
				return true
			}
		}
	}
	return false
}

// afford refuses the first value of in if it would need too much memory. An input that
// can't be read is compared with what was seen of it: decoding says what is wrong.
func (p *plan) afford(in []byte, depth int) error {
	if !p.heavy {
		return nil
	}
	need := 0
	rest, _ := p.weigh(in, depth, &need)
	return fits(len(in)-len(rest), need)
}

// affordElems is afford for the next n values, which are the elements of a slice.
func (p *plan) affordElems(in []byte, n, depth int) error {
	if !p.heavy || p.dec != opSlice {
		return nil
	}
	need := 0
	rest, _ := p.weighElems(in, n, depth, &need)
	return fits(len(in)-len(rest), need)
}

// weigh adds to need what the first value of in needs, and returns what is behind it.
func (p *plan) weigh(in []byte, depth int, need *int) (rest []byte, ok bool) {
	if depth > maxDepth {
		return nil, false
	}
	if !p.heavy || msgp.IsNil(in) {
		return skip(in, depth)
	}
	var n int
	var err error
	switch p.dec {
	case opPointer:
		*need += int(p.elem.typ.Size())
		return p.elem.weigh(in, depth, need)
	case opSlice, opArray:
		if n, rest, err = msgp.TakeArrayHead(in); err != nil {
			return nil, false
		}
		return p.weighElems(rest, n, depth, need)
	case opMap:
		if n, rest, err = msgp.TakeMapHead(in); err != nil {
			return nil, false
		}
		for range n {
			if rest, ok = skip(rest, depth+1); !ok {
				return nil, false
			}
			*need += int(p.mapKey.typ.Size() + p.elem.typ.Size())
			if rest, ok = p.elem.weigh(rest, depth+1, need); !ok {
				return nil, false
			}
		}
		return rest, true
	case opStruct:
		if n, rest, err = msgp.TakeMapHead(in); err != nil {
			return nil, false
		}
		for range n {
			var name []byte
			if name, rest, err = msgp.TakeString(rest); err != nil {
				return nil, false
			}
			if i, known := p.byName[string(name)]; known {
				*need += p.fields[i].embedded
				rest, ok = p.fields[i].plan.weigh(rest, depth+1, need)
			} else {
				rest, ok = skip(rest, depth+1)
			}
			if !ok {
				return nil, false
			}
		}
		return rest, true
	}
	return skip(in, depth)
}

// weighElems is weigh for the next n elements of a slice or array.
func (p *plan) weighElems(in []byte, n, depth int, need *int) (rest []byte, ok bool) {
	for range n {
		if p.dec == opSlice {
			*need += int(p.elem.typ.Size())
		}
		if in, ok = p.elem.weigh(in, depth+1, need); !ok {
			return nil, false
		}
	}
	return in, true
}

func skip(in []byte, depth int) ([]byte, bool) {
	rest, err := msgp.Skip(in, depth)
	return rest, err == nil
}

// embeddedSize returns the size of the structs that are allocated on the way to a field
// that leads through embedded pointers.
func embeddedSize(t reflect.Type, index []int) (size int) {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
			size += int(t.Size())
		}
	}
	return size
}

// jsonHeavy is isHeavy for JSON, by the type.
func jsonHeavy(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if m, text := jsonMethods(t); m || text {
		return false
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return t.Elem().Size() > perByte || jsonHeavy(t.Elem(), seen)
	case reflect.Array:
		return jsonHeavy(t.Elem(), seen)
	case reflect.Map:
		return t.Key().Size()+t.Elem().Size() > perByte || jsonHeavy(t.Elem(), seen)
	case reflect.Struct:
		for _, f := range jsonFieldsOf(t).fields {
			if embeddedSize(t, f.index) > perByte || jsonHeavy(f.typ, seen) {
				return true
			}
		}
	}
	return false
}

// jsonWeigh adds to need what the value at i needs, and returns where it ends. The input
// is valid.
func jsonWeigh(raw []byte, i int, t reflect.Type, need *int) (end int) {
	if !traitsOf(t).heavy {
		return jsonEnd(raw, i)
	}
	k := t.Kind()
	switch {
	case k == reflect.Pointer && raw[i] != 'n':
		*need += int(t.Elem().Size())
		return jsonWeigh(raw, i, t.Elem(), need)
	case raw[i] == '[' && (k == reflect.Slice || k == reflect.Array):
		for i = jsonSpace(raw, i+1); raw[i] != ']'; i = jsonNext(raw, i) {
			if k == reflect.Slice {
				*need += int(t.Elem().Size())
			}
			i = jsonWeigh(raw, i, t.Elem(), need)
		}
		return i + 1
	case raw[i] == '{' && (k == reflect.Map || k == reflect.Struct):
		for i = jsonSpace(raw, i+1); raw[i] != '}'; i = jsonNext(raw, i) {
			end := jsonEnd(raw, i)
			name := raw[i:end]
			i = jsonSpace(raw, jsonSpace(raw, end)+1) // over the colon
			if k == reflect.Map {
				*need += int(t.Key().Size() + t.Elem().Size())
				i = jsonWeigh(raw, i, t.Elem(), need)
			} else if f := jsonFieldsOf(t).find(string(jsonText(name))); f != nil {
				*need += embeddedSize(t, f.index)
				i = jsonWeigh(raw, i, f.typ, need)
			} else {
				i = jsonEnd(raw, i)
			}
		}
		return i + 1
	}
	return jsonEnd(raw, i)
}

// jsonFits refuses elements of a slice of type t that would need too much memory.
func jsonFits(elems [][]byte, t reflect.Type) error {
	if !traitsOf(t).heavy {
		return nil
	}
	size, need := 0, 0
	for _, raw := range elems {
		size += len(raw)
		need += int(t.Elem().Size())
		jsonWeigh(raw, 0, t.Elem(), &need)
	}
	return fits(size, need)
}
