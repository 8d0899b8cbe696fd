package gen

import "go/types"

// ownPair is a pair of methods with which a type encodes and decodes itself.
type ownPair struct{ encode, decode string }

// ownPairs are the pairs in the order in which package codec looks for them.
var ownPairs = [...]ownPair{
	{"EncodeMsgpack", "DecodeMsgpack"},
	{"MarshalMsgpack", "UnmarshalMsgpack"},
	{"MarshalBinary", "UnmarshalBinary"},
	textPair,
}

var textPair = ownPair{"MarshalText", "UnmarshalText"}

// ownMethods returns the pairs with which a type is encoded and decoded. They are the same if the type has both methods of a
// pair.
func ownMethods(t types.Type) (enc, dec ownPair) {
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Interface:
		return // a pointer is followed, and the type in an interface is not known
	}
	if isTime(t) {
		return // a time has an encoding in msgpack
	}
	methods := types.NewMethodSet(types.NewPointer(t))
	if methods.Len() == 0 {
		return
	}
	for _, pair := range ownPairs {
		e, d := hasMethod(methods, pair.encode), hasMethod(methods, pair.decode)
		switch {
		case e && d:
			return pair, pair
		case e && enc == ownPair{}:
			enc = pair
		case d && dec == ownPair{}:
			dec = pair
		}
	}
	return enc, dec
}

// methodTypes are the signatures that the methods must have, without names.
var methodTypes = map[string]string{
	"EncodeMsgpack":    "func(*github.com/vmihailenco/msgpack/v5.Encoder) error",
	"DecodeMsgpack":    "func(*github.com/vmihailenco/msgpack/v5.Decoder) error",
	"MarshalMsgpack":   "func() ([]byte, error)",
	"UnmarshalMsgpack": "func([]byte) error",
	"MarshalBinary":    "func() ([]byte, error)",
	"UnmarshalBinary":  "func([]byte) error",
	"MarshalText":      "func() ([]byte, error)",
	"UnmarshalText":    "func([]byte) error",
	"String":           "func() string",
	"Lock":             "func()",
	"Unlock":           "func()",
}

// hasMethod reports whether there is a method with that name and the signature in methodTypes.
func hasMethod(methods *types.MethodSet, name string) bool {
	m := methods.Lookup(nil, name) // exported, so its package does not matter
	if m == nil {
		return false
	}
	return signatureText(m.Type().(*types.Signature), (*types.Package).Path) == methodTypes[name]
}

// signatureText writes the type of a function without the names of its parameters.
func signatureText(sig *types.Signature, qualifier types.Qualifier) string {
	plain := types.NewSignatureType(nil, nil, nil, unnamed(sig.Params()), unnamed(sig.Results()), sig.Variadic())
	return types.TypeString(plain, qualifier)
}

func unnamed(vars *types.Tuple) *types.Tuple {
	list := make([]*types.Var, 0, vars.Len())
	for v := range vars.Variables() {
		list = append(list, types.NewParam(v.Pos(), nil, "", v.Type()))
	}
	return types.NewTuple(list...)
}

// textMethods reports whether values of the type, which are keys of a map, have MarshalText, and whether pointers to them
// have UnmarshalText.
func textMethods(t types.Type) (enc, dec bool) {
	if types.IsInterface(t) {
		return false, false
	}
	return hasMethod(types.NewMethodSet(t), "MarshalText"), hasMethod(types.NewMethodSet(types.NewPointer(t)), "UnmarshalText")
}

// isLock reports whether values of t must not be copied, by the rule of go vet: pointers to t have the methods Lock and
// Unlock, and values do not.
func isLock(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Interface:
		return false
	}
	byPointer := types.NewMethodSet(types.NewPointer(t))
	if byPointer.Len() < 2 || !hasMethod(byPointer, "Lock") || !hasMethod(byPointer, "Unlock") {
		return false
	}
	return !hasMethod(types.NewMethodSet(t), "Lock")
}

// findLock returns the path to a lock inside values of the type, in fields of any name. It remembers types without a lock,
// since nested structs can mention the same type any number of times on each level.
func (s *shaper) findLock(t types.Type, path string) (string, types.Type) {
	t = types.Unalias(t)
	if s.lockless[t] {
		return "", nil
	}
	if isLock(t) {
		return path, t
	}
	switch u := t.Underlying().(type) {
	case *types.Array:
		if at, lock := s.findLock(u.Elem(), path+"[0]"); lock != nil {
			return at, lock
		}
	case *types.Struct:
		for f := range u.Fields() {
			if at, lock := s.findLock(f.Type(), joined(path, f.Name())); lock != nil {
				return at, lock
			}
		}
	}
	s.lockless[t] = true
	return "", nil
}
