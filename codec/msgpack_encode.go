package codec

import (
	"reflect"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// append appends v, which has the plan's type. Depth is the number of arrays and maps around it.
func (p *plan) append(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	switch p.enc {
	case opBool:
		return msgp.AppendBool(dst, v.Bool()), nil
	case opInt:
		return msgp.AppendInt(dst, v.Int()), nil
	case opUint:
		return msgp.AppendUint(dst, v.Uint()), nil
	case opFloat32:
		return msgp.AppendFloat32(dst, float32(v.Float())), nil
	case opFloat64:
		return msgp.AppendFloat64(dst, v.Float()), nil
	case opString:
		return appendString(dst, v.String())
	case opBytes:
		if v.IsNil() {
			return append(dst, msgp.Nil), nil
		}
		return appendBytes(dst, v.Bytes())
	case opByteArray:
		return appendByteArray(dst, v)
	case opSlice:
		if v.IsNil() {
			return append(dst, msgp.Nil), nil
		}
		return p.appendElems(dst, v, depth)
	case opArray:
		return p.appendElems(dst, v, depth)
	case opMap:
		return p.appendMap(dst, v, depth)
	case opAnyMap:
		return appendAnyMap(dst, v.Interface().(map[string]any), depth)
	case opStruct:
		return p.appendStruct(dst, v, depth)
	case opPointer, opInterface:
		return p.appendIndirect(dst, v, depth)
	case opTime:
		return appendTime(dst, v.Interface().(time.Time)), nil
	case opMethods:
		return p.appendMethods(dst, v, depth)
	}
	return dst, p.err
}

// appendAny appends a value of any type.
func appendAny(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, msgp.Nil), nil
	case bool:
		return msgp.AppendBool(dst, v), nil
	case int:
		return msgp.AppendInt(dst, int64(v)), nil
	case int64:
		return msgp.AppendInt(dst, v), nil
	case float64:
		return msgp.AppendFloat64(dst, v), nil
	case string:
		return appendString(dst, v)
	case map[string]any:
		return appendAnyMap(dst, v, depth)
	case []any:
		if v == nil {
			return append(dst, msgp.Nil), nil
		}
		return appendAnySlice(dst, v, depth)
	}
	return planOf(reflect.TypeOf(v)).append(dst, reflect.ValueOf(v), depth)
}

// appendIndirect appends the value behind a pointer or in an interface, over several steps if need be. The
// steps are limited, since pointers can form a cycle without an array or a map in it.
func (p *plan) appendIndirect(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	for range maxDepth {
		switch {
		case p.enc != opPointer && p.enc != opInterface:
			return p.append(dst, v, depth)
		case v.IsNil():
			return append(dst, msgp.Nil), nil
		case p.enc == opPointer:
			v, p = v.Elem(), p.elem
		default:
			v = v.Elem()
			p = planOf(v.Type())
		}
	}
	return dst, because(ErrTooDeep, "more than %d pointers lead to each other", maxDepth)
}

func appendByteArray(dst []byte, v reflect.Value) ([]byte, error) {
	dst, err := appendBytesHead(dst, v.Len())
	if err != nil {
		return dst, err
	}
	if v.CanAddr() {
		return append(dst, v.Bytes()...), nil
	}
	for i := range v.Len() {
		dst = append(dst, byte(v.Index(i).Uint()))
	}
	return dst, nil
}

// appendElems appends the array or slice v.
func (p *plan) appendElems(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return dst, ErrTooDeep
	}
	n := v.Len()
	dst, err := appendArrayHead(dst, n)
	if err != nil {
		return dst, err
	}
	for i := range n {
		if dst, err = p.elem.append(dst, v.Index(i), depth+1); err != nil {
			return dst, atIndex(err, i)
		}
	}
	return dst, nil
}

func appendAnySlice(dst []byte, s []any, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return dst, ErrTooDeep
	}
	dst, err := appendArrayHead(dst, len(s))
	if err != nil {
		return dst, err
	}
	for i, v := range s {
		if dst, err = appendAny(dst, v, depth+1); err != nil {
			return dst, atIndex(err, i)
		}
	}
	return dst, nil
}

// appendStruct appends the fields of v by name.
func (p *plan) appendStruct(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return dst, ErrTooDeep
	}
	// The head has the number of fields, so absent ones are counted first.
	n := len(p.fields)
	var absent []bool
	if !p.always {
		absent = make([]bool, n)
		for i := range p.fields {
			var err error
			if absent[i], err = p.fields[i].absent(v); err != nil {
				return dst, atName(err, p.fields[i].name)
			}
			if absent[i] {
				n--
			}
		}
	}
	dst, err := appendMapHead(dst, n)
	if err != nil {
		return dst, err
	}
	for i := range p.fields {
		f := &p.fields[i]
		if absent != nil && absent[i] {
			continue
		}
		fv, _ := f.in(v)
		if dst, err = f.plan.append(append(dst, f.head...), fv, depth+1); err != nil {
			return dst, atName(err, f.name)
		}
	}
	return dst, nil
}

// absent reports whether omitempty or omitzero leaves the field out of the encoded struct v.
func (f *planField) absent(v reflect.Value) (bool, error) {
	v, ok := f.in(v)
	if !ok || f.omitEmpty && isEmpty(v) {
		return true, nil
	}
	if !f.omitZero {
		return false, nil
	}
	zeroer, ok := v.Interface().(interface{ IsZero() bool })
	if !ok || v.Kind() == reflect.Pointer && v.IsNil() {
		return v.IsZero(), nil
	}
	zero := false
	err := call("IsZero", v.Type(), func() error {
		zero = zeroer.IsZero()
		return nil
	})
	return zero, err
}

// isEmpty reports whether omitempty leaves v out, as in encoding/json.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
