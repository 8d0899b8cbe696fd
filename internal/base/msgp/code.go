package msgp

// The first bytes of msgpack values. The msgpack library has them as variables, which can't be cases of a switch.
const (
	FixMap   byte = 0x80 // to 0x8f
	FixArray byte = 0x90 // to 0x9f
	FixStr   byte = 0xa0 // to 0xbf
	Nil      byte = 0xc0
	Never    byte = 0xc1 // not used by msgpack: no value begins with it
	False    byte = 0xc2
	True     byte = 0xc3
	Bin8     byte = 0xc4
	Bin16    byte = 0xc5
	Bin32    byte = 0xc6
	Ext8     byte = 0xc7
	Ext16    byte = 0xc8
	Ext32    byte = 0xc9
	Float32  byte = 0xca
	Float64  byte = 0xcb
	Uint8    byte = 0xcc
	Uint16   byte = 0xcd
	Uint32   byte = 0xce
	Uint64   byte = 0xcf
	Int8     byte = 0xd0
	Int16    byte = 0xd1
	Int32    byte = 0xd2
	Int64    byte = 0xd3
	FixExt1  byte = 0xd4
	FixExt2  byte = 0xd5
	FixExt4  byte = 0xd6
	FixExt8  byte = 0xd7
	FixExt16 byte = 0xd8
	Str8     byte = 0xd9
	Str16    byte = 0xda
	Str32    byte = 0xdb
	Array16  byte = 0xdc
	Array32  byte = 0xdd
	Map16    byte = 0xde
	Map32    byte = 0xdf
	Negative byte = 0xe0 // to 0xff: -32 to -1
)

// Family is the kind of value that begins with a certain byte.
type Family uint8

// The families. FamNever is the family of the byte Never, with which no value begins.
const (
	FamNever Family = iota
	FamNil
	FamBool
	FamNumber
	FamString
	FamBytes
	FamArray
	FamMap
	FamExt
)

// FamilyOf returns the family of the values that begin with code.
func FamilyOf(code byte) Family {
	switch {
	case code < FixMap || code >= Negative:
		return FamNumber
	case code < FixArray:
		return FamMap
	case code < FixStr:
		return FamArray
	case code < Nil:
		return FamString
	}
	switch code {
	case Nil:
		return FamNil
	case False, True:
		return FamBool
	case Bin8, Bin16, Bin32:
		return FamBytes
	case Ext8, Ext16, Ext32, FixExt1, FixExt2, FixExt4, FixExt8, FixExt16:
		return FamExt
	case Str8, Str16, Str32:
		return FamString
	case Array16, Array32:
		return FamArray
	case Map16, Map32:
		return FamMap
	case Never:
		return FamNever
	}
	return FamNumber
}

// String returns the name of the family for error messages.
func (f Family) String() string {
	return [...]string{"no msgpack value", "null", "bool", "number", "string", "bytes", "array", "map", "extension"}[f]
}
