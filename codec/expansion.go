package codec

import (
	"reflect"

	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// This file limits the memory that decoding a message can use. Without a limit, a message of 1 MiB could make its receiver
// allocate gigabytes, since an element of a slice can be one byte in the input and a large struct in memory. So the memory
// for a value is computed ("weighed") before the value is decoded, and compared with the length of the message.
//
// To save time, a short message is weighed only if its type is heavy: if a value of it may need more than perByte for each
// byte of the input. Nearly all types need less. A long message is mostly a short one that was compressed, so it is weighed
// for every type.
const (
	// perByte is how many bytes of memory a short message may need for each of its bytes.
	perByte = 256
	// perByteOfLong is perByte for a long message. A long message may need at least as much as the longest short one.
	perByteOfLong = 16
	// long is the length above which a message is long. It is the default of the largest payload that brokers accept.
	long = 1 << 20
	// free is how many bytes of memory a value may need besides, so that no small message is refused.
	free = 1 << 20
)

// budget counts the memory that one message needs.
type budget struct {
	size int   // the length of the message
	need int64 // the memory that its values need, as far as they were weighed; more than an int of 32 bits may hold
}

// isLong reports whether the message is long, so that values of every type are weighed.
func (b *budget) isLong() bool { return b.size > long }

// limit returns how many bytes of memory the message may need.
func (b *budget) limit() int64 {
	size := int64(b.size)
	if b.isLong() {
		return free + max(long*perByte, size*perByteOfLong)
	}
	return free + size*perByte
}

// check returns an error if the message needs more memory than its limit.
func (b *budget) check() error {
	if b.need <= b.limit() {
		return nil
	}
	return because(ErrExpansion, "%d bytes would need more than %d bytes of memory; "+
		"make large elements that may be empty pointers, and send null for empty ones", b.size, b.limit())
}

// isHeavy reports whether a value of the plan may need more than perByte for each byte of its input.
func (p *plan) isHeavy(seen map[*plan]bool) bool {
	if seen[p] {
		return false // an outer call examines this plan
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

// afford weighs the next value of in, and returns an error if the message needs too much memory with it. Input that can't be
// read is weighed up to the error, which decoding will report.
func (p *plan) afford(in []byte, depth int, b *budget) error {
	if !p.heavy && !b.isLong() {
		return nil
	}
	_, _ = p.weigh(in, depth, b)
	return b.check()
}

// affordElems is afford for the next n values, which are elements of a slice.
func (p *plan) affordElems(in []byte, n, depth int, b *budget) error {
	if p.dec != opSlice || !p.heavy && !b.isLong() {
		return nil
	}
	_, _ = p.weighElems(in, n, depth, b)
	return b.check()
}

// weigh adds the memory that the first value of in needs to b, and returns the bytes after the value. It stops as soon as the
// message needs too much.
func (p *plan) weigh(in []byte, depth int, b *budget) (rest []byte, ok bool) {
	if depth > maxDepth || b.need > b.limit() {
		return nil, false
	}
	if !p.heavy && !b.isLong() || msgp.IsNil(in) {
		return skip(in, depth)
	}
	var n int
	var err error
	switch p.dec {
	case opPointer:
		b.need += int64(p.elem.typ.Size())
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
			b.need += int64(p.mapKey.typ.Size() + p.elem.typ.Size())
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

func (p *plan) weighStruct(in []byte, depth int, b *budget) (rest []byte, ok bool) {
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
			b.need += int64(p.fields[i].embedded)
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
func (p *plan) weighElems(in []byte, n, depth int, b *budget) (rest []byte, ok bool) {
	for range n {
		if p.dec == opSlice {
			b.need += int64(p.elem.typ.Size())
		}
		if in, ok = p.elem.weigh(in, depth+1, b); !ok {
			return nil, false
		}
	}
	return in, true
}

// The memory that a value in an any needs. The contents of strings are not counted, since they are never longer than the
// message.
const (
	anySize    = 16 // the any itself
	numberSize = 8  // a number that it points to
	headSize   = 24 // the head of a string or slice
	mapSize    = 48 // an empty map
	entrySize  = 40 // a key and a value in a map
)

// weighAny is weigh for a value that is decoded into an any.
func weighAny(in []byte, depth int, b *budget) (rest []byte, ok bool) {
	if depth > maxDepth || len(in) == 0 || b.need > b.limit() {
		return nil, false
	}
	var n int
	var err error
	switch msgp.FamilyOf(in[0]) {
	case msgp.FamArray:
		b.need += headSize
		if n, rest, err = msgp.TakeArrayHead(in); err != nil {
			return nil, false
		}
		for range n {
			b.need += anySize
			if rest, ok = weighAny(rest, depth+1, b); !ok {
				return nil, false
			}
		}
		return rest, true
	case msgp.FamMap:
		b.need += mapSize
		if n, rest, err = msgp.TakeMapHead(in); err != nil {
			return nil, false
		}
		for range n {
			b.need += entrySize
			if rest, ok = weighAny(rest, depth+1, b); ok {
				rest, ok = weighAny(rest, depth+1, b)
			}
			if !ok {
				return nil, false
			}
		}
		return rest, true
	case msgp.FamNumber:
		b.need += numberSize
	case msgp.FamNil, msgp.FamBool:
	default:
		b.need += headSize
	}
	return skip(in, depth)
}

func skip(in []byte, depth int) ([]byte, bool) {
	rest, err := msgp.Skip(in, depth)
	return rest, err == nil
}

// embeddedSize returns the size of the structs behind embedded pointers on the path to a field. Decoding the field allocates
// them.
func embeddedSize(t reflect.Type, index []int) (size int) {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
			size += int(t.Size())
		}
	}
	return size
}

// jsonHeavy is isHeavy for the JSON codec, which has no plans.
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

// jsonAfford weighs a valid value, and returns an error if the message needs too much memory with it.
func jsonAfford(raw []byte, t reflect.Type, b *budget) error {
	if !b.isLong() && !traitsOf(t).heavy {
		return nil
	}
	jsonWeigh(raw, 0, t, b)
	return b.check()
}

// jsonAffordElems is jsonAfford for values that are elements of a slice of type t.
func jsonAffordElems(elems [][]byte, t reflect.Type, b *budget) error {
	if !b.isLong() && !traitsOf(t).heavy {
		return nil
	}
	for _, raw := range elems {
		b.need += int64(t.Elem().Size())
		jsonWeigh(raw, 0, t.Elem(), b)
	}
	return b.check()
}

// jsonWeigh adds the memory that the value at raw[i] needs to b, and returns the end of the value. The input must be valid.
func jsonWeigh(raw []byte, i int, t reflect.Type, b *budget) (end int) {
	k, traits := t.Kind(), traitsOf(t)
	switch {
	case !b.isLong() && !traits.heavy || traits.own:
		return jsonEnd(raw, i)
	case k == reflect.Interface:
		return jsonWeighAny(raw, i, b)
	case k == reflect.Pointer && raw[i] != 'n':
		b.need += int64(t.Elem().Size())
		return jsonWeigh(raw, i, t.Elem(), b)
	case raw[i] == '[' && (k == reflect.Slice || k == reflect.Array):
		for i = jsonSpace(raw, i+1); raw[i] != ']'; i = jsonNext(raw, i) {
			if k == reflect.Slice {
				b.need += int64(t.Elem().Size())
			}
			i = jsonWeigh(raw, i, t.Elem(), b)
		}
		return i + 1
	case raw[i] == '{' && (k == reflect.Map || k == reflect.Struct):
		for i = jsonSpace(raw, i+1); raw[i] != '}'; i = jsonNext(raw, i) {
			end := jsonEnd(raw, i)
			name := raw[i:end]
			i = jsonSpace(raw, jsonSpace(raw, end)+1) // over the colon
			if k == reflect.Map {
				b.need += int64(t.Key().Size() + t.Elem().Size())
				i = jsonWeigh(raw, i, t.Elem(), b)
			} else if f := jsonFieldsOf(t).find(string(jsonText(name))); f != nil {
				b.need += int64(embeddedSize(t, f.index))
				i = jsonWeigh(raw, i, f.typ, b)
			} else {
				i = jsonEnd(raw, i)
			}
		}
		return i + 1
	}
	return jsonEnd(raw, i)
}

// jsonWeighAny is jsonWeigh for a value that is decoded into an any.
func jsonWeighAny(raw []byte, i int, b *budget) (end int) {
	switch raw[i] {
	case '[':
		b.need += headSize
		for i = jsonSpace(raw, i+1); raw[i] != ']'; i = jsonNext(raw, i) {
			b.need += anySize
			i = jsonWeighAny(raw, i, b)
		}
		return i + 1
	case '{':
		b.need += mapSize
		for i = jsonSpace(raw, i+1); raw[i] != '}'; i = jsonNext(raw, i) {
			b.need += entrySize
			i = jsonSpace(raw, jsonSpace(raw, jsonEnd(raw, i))+1) // over the colon
			i = jsonWeighAny(raw, i, b)
		}
		return i + 1
	case '"':
		b.need += headSize
	case 'n', 't', 'f':
	default:
		b.need += numberSize
	}
	return jsonEnd(raw, i)
}
