package codec

import (
	"reflect"

	"github.com/go-arbiter/arbiter/codec/internal/packed"
	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

const msgpackName = "msgpack"

// msgpackCodec is the type of the codec that Msgpack returns.
type msgpackCodec struct{}

// Msgpack returns the default codec, named "msgpack". It is compact and fast, and libraries for it exist
// in most languages. Unlike JSON, it distinguishes integers, floats, binary data and times.
//
// Integers are written in their shortest form. They are decoded from any form, and from floats without a
// fraction. Floats are written as float32 or float64, by their type. Strings and bytes are not decoded
// into each other. A time.Time keeps its instant and is decoded in UTC. The keys of maps are strings,
// integers or encoding.TextMarshalers; a map[any]any can also have booleans, floats, times and nil as
// keys.
func Msgpack() Codec { return msgpackCodec{} }

func (msgpackCodec) Name() string { return msgpackName }

func (msgpackCodec) AppendValue(dst []byte, v any) ([]byte, error) {
	out, err := packed.AppendAny(dst, v, 0)
	if err != nil {
		return dst, finish(msgpackName, err)
	}
	return out, nil
}

func (msgpackCodec) DecodeValue(data []byte, v any) error {
	rv, err := target(v)
	if err != nil {
		return finish(msgpackName, err)
	}
	p := packed.PlanOf(rv.Type())
	if err := p.Afford(data, 0, &rules.Budget{Size: len(data)}); err != nil {
		return finish(msgpackName, err)
	}
	rest, err := p.Take(data, rv, 0)
	return end(rest, err)
}

func (msgpackCodec) AppendArgs(dst []byte, args any) ([]byte, error) {
	var out []byte
	var err error
	if a, ok := argumentsOf(args); ok {
		out, err = appendArguments(dst, a)
	} else {
		out, err = appendArgs(dst, args)
	}
	if err != nil {
		return dst, finish(msgpackName, err)
	}
	return out, nil
}

func (msgpackCodec) DecodeArgs(data []byte, args any) error {
	if a, ok := args.(*Arguments); ok && a != nil {
		if err := packed.AffordAny(data, 0, &rules.Budget{Size: len(data)}); err != nil {
			return finish(msgpackName, err)
		}
		rest, err := takeArguments(data, a)
		return end(rest, err)
	}
	v, err := argsTarget(args)
	if err != nil {
		return finish(msgpackName, err)
	}
	p, err := argsPlanOf(v.Type())
	if err != nil {
		return finish(msgpackName, err)
	}
	rest, err := p.take(data, v)
	return end(rest, err)
}

// end returns the error of decoding, or else an error if there are bytes after the value.
func end(rest []byte, err error) error {
	if err == nil && len(rest) > 0 {
		err = rules.Because(ErrTrailing, "%d bytes after the value", len(rest))
	}
	return finish(msgpackName, err)
}

// appendArgs appends the struct args as a map by parameter name.
func appendArgs(dst []byte, args any) ([]byte, error) {
	v, err := argsValue(args)
	if err != nil {
		return dst, err
	}
	p, err := argsPlanOf(v.Type())
	if err != nil {
		return dst, err
	}
	dst = append(dst, p.head...)
	for i := range p.params {
		param := &p.params[i]
		dst = append(dst, p.names[i]...)
		if dst, err = p.plans[i].Append(dst, param.in(v), 1); err != nil {
			return dst, rules.AtName(err, param.name)
		}
	}
	return dst, nil
}

func appendArguments(dst []byte, a Arguments) ([]byte, error) {
	if len(a.Named) == 0 {
		return packed.AppendAnySlice(dst, a.Positional, 0)
	}
	if _, ok := a.Named[""]; ok {
		return dst, errNoName
	}
	n := len(a.Named)
	if len(a.Positional) > 0 {
		n++
	}
	dst, err := packed.AppendMapHead(dst, n)
	if err == nil && len(a.Positional) > 0 {
		// The empty key sorts first, so the keys stay in order.
		dst, _ = packed.AppendString(dst, "")
		dst, err = packed.AppendAnySlice(dst, a.Positional, 1)
	}
	if err != nil {
		return dst, err
	}
	return packed.AppendNamed(dst, a.Named, 0)
}

// argsPlan is the plan with which Msgpack encodes and decodes a struct of arguments.
type argsPlan struct {
	*signature
	head  []byte         // the encoded head of the map
	names [][]byte       // the encoded names of the parameters
	plans []*packed.Plan // the plans of the parameters
}

// argsPlanOf returns the plan of a struct type of arguments.
func argsPlanOf(t reflect.Type) (*argsPlan, error) {
	if p, ok := argsPlans.Load(t); ok {
		return p.(*argsPlan), nil
	}
	sig, err := signatureOf(t)
	if err != nil {
		return nil, err
	}
	p := &argsPlan{signature: sig}
	p.head, _ = packed.AppendMapHead(nil, len(sig.params)) // can't fail: the number of fields is small
	for _, param := range sig.params {
		name, _ := packed.AppendString(nil, param.name) // can't fail: names in Go source are short
		p.names = append(p.names, name)
		p.plans = append(p.plans, packed.PlanOf(param.typ))
	}
	stored, _ := argsPlans.LoadOrStore(t, p)
	return stored.(*argsPlan), nil
}
