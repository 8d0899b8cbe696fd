// Package codec turns the arguments and results of tasks into bytes and back.
//
// A [Codec] has two pairs of methods. AppendValue and DecodeValue carry one
// value: a result. AppendArgs and DecodeArgs carry the arguments of a call.
// There are two codecs, [Msgpack] (the default) and [JSON]; a message names its
// codec, and [ByName] finds it again.
//
// The arguments of a task are the exported fields of a struct:
//
//	type Add struct {
//		X  int   `arbiter:"x"`
//		Y  int   `arbiter:"y,default=10"`
//		More []int `arbiter:"more,variadic"`
//	}
//	c := codec.Msgpack()
//	data, err := c.AppendArgs(nil, Add{X: 1, Y: 2})         // {"x":1,"y":2,"more":nil}
//	data, err = c.AppendArgs(nil, codec.Arguments{Positional: []any{1, 2, 3, 4}}) // [1,2,3,4]
//	var add Add
//	err = c.DecodeArgs(data, &add)                          // Add{X: 1, Y: 2, More: []int{3, 4}}
//
// # Compressed, signed and encrypted
//
// [Compress], [Sign] and [Encrypt] make a codec of another one. Arbiters and
// minions are told of it, each by its options Codec and Codecs:
//
//	c, err := codec.Sign(codec.Compress(codec.Msgpack()), key)
//
// Who is told of one that signs or encrypts, by either option, encodes with it and
// refuses what is encoded without: such a task becomes a dead letter, and such a
// result is an error. To change over while tasks are waiting, name the old one
// beside it until all processes know the new one:
//
//	minion.New(b, minion.Codec(c), minion.Codecs(codec.Msgpack()))
//
// # Parameters
//
// Each exported field of such a struct is a parameter; their order is the order
// of the fields. The tag `arbiter:"name,options"` names it (without a name, the
// parameter is called as the field) and `arbiter:"-"` leaves the field out. The
// options are
//
//   - optional: the parameter may be missing when decoding, by name or at the
//     end of the positional arguments. The field is then set to its zero value.
//   - default=TEXT: the same, and the field is then set to the value that TEXT
//     stands for. It must be the last option, since TEXT may have commas in it.
//     The field has the type of a string, a bool, an integer, a finite float or
//     a [time.Duration], which is written as 1m30s.
//   - variadic: only on the last parameter, a slice. By position it takes all
//     the values that remain, which may be none. By name it is a slice like any
//     other, and may be missing.
//
// A name is a letter or an underscore followed by letters, digits, underscores
// and hyphens. The parameters of an embedded struct are inlined; two parameters
// of one name are refused. [CheckArgs] tells at the start of a program what
// would otherwise fail at the first call.
//
// The wire form of a struct is a map by parameter name with every parameter in
// it, in field order. A caller that has no struct uses [Arguments], by position,
// by name or both. DecodeArgs takes every form into either destination. It is
// strict about the set of parameters: a missing, an unknown and a repeated one
// are errors that name it.
//
// # Values
//
// Inside a value, a struct is a map by field name. Msgpack reads the tag
// `msgpack:"name,omitempty"` and, where a field has none, the tag
// `json:"name,omitempty,omitzero"`; JSON reads the json tag. So one set of json
// tags serves both. Unknown keys inside a nested struct are ignored and missing
// ones leave zero values, so that such types may grow.
//
// Decoding replaces what the destination held. It never changes a value to make
// it fit: a number out of range, a value of another type, a null where the type
// has none, an array of another length than the Go array, bytes missing or left
// over, and nesting deeper than 1000 levels are errors. An [Error] says where,
// as in "msgpack: opts.Sizes[3]: a number overflows int8". It names fields and types, and shows
// no value: it is stored and logged. So an entry of a map is "[key 0]", by its place, and
// of the error of a method that decodes, such as UnmarshalText, only the type is shown;
// errors.Is and errors.As find the error itself. After an error the
// destination may be half filled.
//
// A length that is declared in the input is compared with the bytes that remain
// before anything is allocated for it. A value may need 256 bytes of memory for each byte
// of the input, and 1 MiB besides. Of an input longer than 1 MiB it may need 256 MiB, or
// 16 bytes for each byte of the input if that is more, and 1 MiB besides. A value that
// needs more is refused with [ErrExpansion]. Up to 1 MiB only slices and maps of structs
// larger than 256 bytes, most of which are empty, can exceed the limit. The limit is for
// the decoded value: while a slice grows, three times as much may be allocated, and
// malformed input may take 8 MiB before the error. What methods of a type allocate is not
// counted. A decoded
// value never shares memory with the input.
//
// # The type any
//
// A destination of type any receives, from both codecs:
//
//   - int64 for an integer, or uint64 if it fits only there,
//   - float64 for every other number,
//   - string, bool, and nil,
//   - []any for an array,
//   - map[string]any for a map,
//   - []byte for binary data (msgpack only: in JSON it is a base64 string),
//   - time.Time in UTC for a timestamp (msgpack only: in JSON it is a string),
//   - map[any]any for a map that has a key which is no string (msgpack only).
//
// JSON has one kind of number. A float64 without a fraction is written as an
// integer there, and so comes back as int64.
//
// # Types with an encoding of their own
//
// Msgpack honours, in this order, on value and on pointer receivers:
// msgpack.CustomEncoder with msgpack.CustomDecoder, msgpack.Marshaler with
// msgpack.Unmarshaler, time.Time (a msgpack timestamp), encoding.BinaryMarshaler
// with encoding.BinaryUnmarshaler (binary), encoding.TextMarshaler with
// encoding.TextUnmarshaler (a string). The first of which a type has both halves
// is taken. A type that has only the encoding half can be sent and not received.
// JSON honours what encoding/json does. A method that panics becomes an error.
//
// A struct of arguments is always encoded by its fields, whatever its methods.
package codec
