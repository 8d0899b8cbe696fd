package codec

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// param is one parameter: an exported field of a struct of arguments.
type param struct {
	name     string
	typ      reflect.Type
	index    []int
	optional bool
	def      reflect.Value // the value of an optional parameter that is missing; if not valid, the type's zero value
}

// in returns the field of the parameter in the struct v. The path to it never leads through a pointer.
func (p *param) in(v reflect.Value) reflect.Value {
	if len(p.index) == 1 {
		return v.Field(p.index[0])
	}
	return v.FieldByIndex(p.index)
}

// signature describes a struct type of arguments, for both codecs.
type signature struct {
	params   []param
	byName   map[string]int
	atLeast  int  // the least number of positional arguments
	variadic bool // the last parameter takes all further arguments

	// If the struct can't be used as arguments: the reason, and the field.
	err   error
	field string
}

var signatures sync.Map // reflect.Type of a struct -> *signature

// signatureOf returns the signature of a struct type.
func signatureOf(t reflect.Type) (*signature, error) {
	s, ok := signatures.Load(t)
	if !ok {
		s, _ = signatures.LoadOrStore(t, newSignature(t))
	}
	sig := s.(*signature)
	if sig.err != nil {
		return nil, rules.AtName(sig.err, sig.field)
	}
	return sig, nil
}

func newSignature(t reflect.Type) *signature {
	s := &signature{byName: make(map[string]int)}
	s.addFields(t, nil)
	for i := range s.params {
		if !s.params[i].optional {
			s.atLeast = i + 1
		}
	}
	return s
}

// addFields adds the parameters in the struct type t, until it finds an error. Outer is the path to t in the
// struct of arguments.
func (s *signature) addFields(t reflect.Type, outer []int) {
	for i := 0; i < t.NumField() && s.err == nil; i++ {
		f := t.Field(i)
		index := append(slices.Clip(outer), i)
		s.field = f.Name
		tag, tagged := f.Tag.Lookup("arbiter")
		switch {
		case tag == "-":
		case f.Anonymous && !tagged && rules.IsPlainStruct(f.Type):
			s.addFields(f.Type, index)
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Pointer && rules.IsPlainStruct(f.Type.Elem()):
			s.err = rules.Because(ErrUnsupported, "an embedded pointer cannot hold parameters; embed %s itself", f.Type.Elem())
		case !f.IsExported() && tagged:
			s.err = rules.Because(ErrUnsupported, "a field with the tag arbiter:%q must be exported", tag)
		case f.IsExported():
			s.add(f, index, tag)
		}
	}
}

func (s *signature) add(f reflect.StructField, index []int, tag string) {
	name, options, hasOptions := strings.Cut(tag, ",")
	if name == "" {
		name = f.Name
	}
	p := param{name: name, typ: f.Type, index: index}
	variadic := false
	for hasOptions {
		if text, found := strings.CutPrefix(options, "default="); found {
			if p.def, s.err = defaultOf(text, f.Type); s.err != nil {
				return
			}
			p.optional = true
			break // the text may contain commas
		}
		var option string
		option, options, hasOptions = strings.Cut(options, ",")
		switch option {
		case "optional":
			p.optional = true
		case "variadic":
			p.optional, variadic = true, true
		default:
			s.err = rules.Because(ErrUnsupported, "unknown option %q in the tag arbiter:%q; there are optional, default= and variadic", option, tag)
			return
		}
	}
	switch _, taken := s.byName[name]; {
	case taken:
		s.err = rules.Because(ErrDuplicate, "two parameters are called %q", name)
	case !rules.ValidName(name):
		s.err = rules.Because(ErrUnsupported, "%q cannot be the name of a parameter; use letters, digits, _ and -, beginning with a letter or _", name)
	case s.variadic:
		s.err = rules.Because(ErrUnsupported, "a parameter follows the variadic one, which must be the last")
	case variadic && f.Type.Kind() != reflect.Slice:
		s.err = rules.Because(ErrUnsupported, "a variadic parameter must be a slice, not %s", f.Type)
	}
	s.variadic = variadic
	s.byName[name] = len(s.params)
	s.params = append(s.params, p)
}

// argumentsOf returns args if it is an Arguments or a pointer to one.
func argumentsOf(args any) (Arguments, bool) {
	switch a := args.(type) {
	case Arguments:
		return a, true
	case *Arguments:
		if a != nil {
			return *a, true
		}
	}
	return Arguments{}, false
}

// errNoName is the error for Arguments with an empty name.
var errNoName = rules.Because(ErrUnsupported, "a named argument without a name; the empty key is for the positional arguments")

// argsValue returns the struct args, or the struct that args points to.
func argsValue(args any) (reflect.Value, error) {
	v := reflect.ValueOf(args)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return v, rules.Because(ErrType, "arguments must be a struct, codec.Arguments or a non-nil pointer to one, not %T", args)
	}
	return v, nil
}

// argsTarget returns the struct that args points to.
func argsTarget(args any) (reflect.Value, error) {
	v := reflect.ValueOf(args)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return v, rules.Because(ErrType, "arguments must be decoded into a non-nil pointer to a struct or to codec.Arguments, not %T", args)
	}
	return v.Elem(), nil
}

// target returns the value that v points to.
func target(v any) (reflect.Value, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return rv, rules.Because(ErrType, "a value must be decoded into a non-nil pointer, not %T", v)
	}
	return rv.Elem(), nil
}
