package packed

import (
	"reflect"
	"time"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// Append appends v, which has the plan's type. Depth is the number of arrays and maps around it.
func (p *Plan) Append(dst []byte, v reflect.Value, depth int) ([]byte, error) {
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
		return AppendString(dst, v.String())
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

// AppendAny appends a value of any type.
func AppendAny(dst []byte, v any, depth int) ([]byte, error) {
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
		return AppendString(dst, v)
	case map[string]any:
		return appendAnyMap(dst, v, depth)
	case []any:
		if v == nil {
			return append(dst, msgp.Nil), nil
		}
		return AppendAnySlice(dst, v, depth)
	}
	return PlanOf(reflect.TypeOf(v)).Append(dst, reflect.ValueOf(v), depth)
}

// appendIndirect appends the value behind a pointer or in an interface, over several steps if need be. The
// steps are limited, since pointers can form a cycle without an array or a map in it.
func (p *Plan) appendIndirect(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	for range rules.MaxDepth {
		switch {
		case p.enc != opPointer && p.enc != opInterface:
			return p.Append(dst, v, depth)
		case v.IsNil():
			return append(dst, msgp.Nil), nil
		case p.enc == opPointer:
			v, p = v.Elem(), p.elem
		default:
			v = v.Elem()
			p = PlanOf(v.Type())
		}
	}
	return dst, rules.Because(rules.ErrTooDeep, "more than %d pointers lead to each other", rules.MaxDepth)
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
func (p *Plan) appendElems(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth >= rules.MaxDepth {
		return dst, rules.ErrTooDeep
	}
	n := v.Len()
	dst, err := AppendArrayHead(dst, n)
	if err != nil {
		return dst, err
	}
	for i := range n {
		if dst, err = p.elem.Append(dst, v.Index(i), depth+1); err != nil {
			return dst, rules.AtIndex(err, i)
		}
	}
	return dst, nil
}

// AppendAnySlice appends an array of values of any type.
func AppendAnySlice(dst []byte, s []any, depth int) ([]byte, error) {
	if depth >= rules.MaxDepth {
		return dst, rules.ErrTooDeep
	}
	dst, err := AppendArrayHead(dst, len(s))
	if err != nil {
		return dst, err
	}
	for i, v := range s {
		if dst, err = AppendAny(dst, v, depth+1); err != nil {
			return dst, rules.AtIndex(err, i)
		}
	}
	return dst, nil
}

// appendStruct appends the fields of v by name.
func (p *Plan) appendStruct(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth >= rules.MaxDepth {
		return dst, rules.ErrTooDeep
	}
	// The head has the number of fields, so absent ones are counted first.
	n := len(p.fields)
	var absent []bool
	if !p.always {
		absent = make([]bool, n)
		for i := range p.fields {
			var err error
			if absent[i], err = p.fields[i].absent(v); err != nil {
				return dst, rules.AtName(err, p.fields[i].Name)
			}
			if absent[i] {
				n--
			}
		}
	}
	dst, err := AppendMapHead(dst, n)
	if err != nil {
		return dst, err
	}
	for i := range p.fields {
		f := &p.fields[i]
		if absent != nil && absent[i] {
			continue
		}
		fv, _ := f.In(v)
		if dst, err = f.plan.Append(append(dst, f.head...), fv, depth+1); err != nil {
			return dst, rules.AtName(err, f.Name)
		}
	}
	return dst, nil
}

// absent reports whether omitempty or omitzero leaves the field out of the encoded struct v.
func (f *planField) absent(v reflect.Value) (bool, error) {
	v, ok := f.In(v)
	if !ok || f.OmitEmpty && isEmpty(v) {
		return true, nil
	}
	if !f.OmitZero {
		return false, nil
	}
	zeroer, ok := reflect.TypeAssert[interface{ IsZero() bool }](v)
	if !ok || v.Kind() == reflect.Pointer && v.IsNil() {
		return v.IsZero(), nil
	}
	zero := false
	err := rules.Call("IsZero", v.Type(), func() error {
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
