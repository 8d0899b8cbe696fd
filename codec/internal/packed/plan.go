package packed

import (
	"encoding"
	"reflect"
	"sync"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// op is the operation with which a plan encodes or decodes a value.
type op uint8

const (
	opNone op = iota // not possible; plan.err has the reason
	opBool
	opInt
	opUint
	opFloat32
	opFloat64
	opString
	opBytes     // a slice of bytes
	opByteArray // an array of bytes
	opSlice
	opArray
	opMap
	opAnyMap // exactly map[string]any, which is encoded without reflection
	opStruct
	opPointer
	opInterface
	opTime
	opMethods // by the type's own methods
)

// Plan holds how the codec encodes and decodes one Go type. It is made once for each type. Plans of recursive
// types refer to each other in cycles.
type Plan struct {
	typ      reflect.Type
	enc, dec op
	key      keyKind // how a value of the type is encoded as the key of a map
	err      error   // the reason of opNone

	elem   *Plan // the element of a slice, array, pointer or map
	mapKey *Plan
	fields []planField
	byName map[string]int
	always bool // every field is always encoded
	heavy  bool // a value may need much memory for few bytes, see Plan.Afford

	encMethods, decMethods rules.Methods
}

type planField struct {
	rules.Field
	plan     *Plan
	head     []byte // the encoded name
	embedded int    // the size of the structs behind embedded pointers on the path to the field
}

var plans sync.Map // reflect.Type -> *Plan, complete

// PlanOf returns the plan of a type.
func PlanOf(t reflect.Type) *Plan {
	if p, ok := plans.Load(t); ok {
		return p.(*Plan)
	}
	b := builder{}
	p := b.plan(t)
	// Plans are published only now, when all of them are complete. If another goroutine has built
	// the same plans meanwhile, both sets work.
	for _, p := range b {
		p.heavy = p.isHeavy(make(map[*Plan]bool))
	}
	for t, p := range b {
		plans.LoadOrStore(t, p)
	}
	return p
}

// builder holds the plans that one call of PlanOf makes. Some are not complete yet.
type builder map[reflect.Type]*Plan

func (b builder) plan(t reflect.Type) *Plan {
	if p, ok := plans.Load(t); ok {
		return p.(*Plan)
	}
	if p := b[t]; p != nil {
		return p
	}
	p := &Plan{typ: t, key: keyKindOf(t)}
	b[t] = p
	p.encMethods, p.decMethods = rules.MethodsOf(t)
	if p.encMethods != rules.NoMethods && p.decMethods != rules.NoMethods {
		p.enc, p.dec = opMethods, opMethods
		return p
	}
	b.byKind(p)
	switch {
	case p.encMethods != rules.NoMethods:
		p.enc, p.dec = opMethods, opNone
		p.err = rules.HalfPair(t, p.encMethods)
	case p.decMethods != rules.NoMethods:
		p.dec = opMethods
	}
	return p
}

var kindOps = map[reflect.Kind]op{
	reflect.Bool: opBool, reflect.String: opString,
	reflect.Int: opInt, reflect.Int8: opInt, reflect.Int16: opInt, reflect.Int32: opInt, reflect.Int64: opInt,
	reflect.Uint: opUint, reflect.Uint8: opUint, reflect.Uint16: opUint, reflect.Uint32: opUint, reflect.Uint64: opUint,
	reflect.Uintptr: opUint, reflect.Float32: opFloat32, reflect.Float64: opFloat64,
	reflect.Slice: opSlice, reflect.Array: opArray, reflect.Map: opMap, reflect.Struct: opStruct,
	reflect.Pointer: opPointer, reflect.Interface: opInterface,
}

var anyMapType = reflect.TypeFor[map[string]any]()

// byKind fills in p by the kind of its type, regardless of its methods.
func (b builder) byKind(p *Plan) {
	t := p.typ
	o := kindOps[t.Kind()]
	switch {
	case t == rules.TimeType:
		o = opTime
	case t == anyMapType:
		o = opAnyMap
	case o == opSlice || o == opArray:
		p.elem = b.plan(t.Elem())
		if p.elem.enc == opUint && p.elem.dec == opUint && t.Elem().Kind() == reflect.Uint8 {
			o = map[op]op{opSlice: opBytes, opArray: opByteArray}[o]
		}
	case o == opMap:
		p.mapKey, p.elem = b.plan(t.Key()), b.plan(t.Elem())
		if p.mapKey.key == keyNone {
			o, p.err = opNone, rules.Because(rules.ErrUnsupported, "%s cannot be the key of a map; a string, an integer or an encoding.TextMarshaler can", t.Key())
		}
	case o == opPointer && onlyPointers(t):
		o, p.err = opNone, rules.Because(rules.ErrUnsupported, "%s points to nothing but itself", t)
	case o == opPointer:
		p.elem = b.plan(t.Elem())
	case o == opStruct:
		if o = b.structPlan(p); o == opNone {
			p.err = rules.Because(rules.ErrUnsupported, "%s has no exported fields, and no methods to encode it", t)
		}
	case o == opNone:
		p.err = rules.Because(rules.ErrUnsupported, "%s cannot be encoded", t)
	}
	p.enc, p.dec = o, o
	if o == opInterface && t.NumMethod() > 0 {
		p.dec, p.err = opNone, rules.Because(rules.ErrUnsupported, "cannot decode into the interface %s; use a concrete type or any", t)
	}
}

// structPlan adds the fields of a struct. For a struct that has only unexported fields it returns opNone, since
// all its data would be lost.
func (b builder) structPlan(p *Plan) op {
	fields := rules.FieldsOf(p.typ, "msgpack", "json")
	p.byName = make(map[string]int, len(fields))
	p.always = true
	exported := p.typ.NumField() == 0
	for field := range p.typ.Fields() {
		exported = exported || field.IsExported()
	}
	if len(fields) == 0 && !exported {
		return opNone
	}
	for i, f := range fields {
		head, _ := AppendString(nil, f.Name) // can't fail: names in Go source are short
		p.fields = append(p.fields, planField{Field: f, plan: b.plan(f.Type), head: head, embedded: rules.EmbeddedSize(p.typ, f.Index)})
		p.byName[f.Name] = i
		p.always = p.always && !f.OmitEmpty && !f.OmitZero && !throughPointer(p.typ, f.Index)
	}
	return opStruct
}

// throughPointer reports whether the path to a field leads through an embedded pointer.
func throughPointer(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// onlyPointers reports whether t is a pointer type that never ends, like "type P *P".
func onlyPointers(t reflect.Type) bool {
	seen := make(map[reflect.Type]bool)
	for ; t.Kind() == reflect.Pointer; t = t.Elem() {
		if seen[t] {
			return true
		}
		seen[t] = true
	}
	return false
}

// keyKind is how values of a type are encoded as keys of a map.
type keyKind uint8

const (
	keyNone keyKind = iota
	keyString
	keyInt
	keyUint
	keyText
	keyAny // by the type of the value in the interface
)

// keyKindOf follows encoding/json: first strings, then types with MarshalText, then integers.
func keyKindOf(t reflect.Type) keyKind {
	switch o := kindOps[t.Kind()]; {
	case o == opString:
		return keyString
	case o == opInterface && t.NumMethod() == 0:
		return keyAny
	case o != opInterface && o != opPointer && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return keyText
	case o == opInt:
		return keyInt
	case o == opUint:
		return keyUint
	}
	return keyNone
}
