// Package codec encodes the arguments and results of tasks as bytes, and decodes them.
//
// A [Codec] has two pairs of methods. AppendValue and DecodeValue are for one value, such as a result.
// AppendArgs and DecodeArgs are for the arguments of a call. There are two codecs, [Msgpack] (the
// default) and [JSON]. Each message has the name of its codec, and the receiver finds the codec with
// [ByName].
//
// The arguments of a task are the exported fields of a struct:
//
//	type Add struct {
//		X    int   `arbiter:"x"`
//		Y    int   `arbiter:"y,default=10"`
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
// [Compress], [Sign] and [Encrypt] make a new codec of another one. Arbiters and minions get it with
// their options Codec and Codecs:
//
//	c, err := codec.Sign(codec.Compress(codec.Msgpack()), key)
//
// [FingerprintWith] gives fingerprints a key of their own, which stays when the key of the seals is changed, and [Hide]
// hides more than arguments and results.
//
// An arbiter or minion encodes with the codec of its option Codec. Without that option it encodes with the
// first of Codecs that signs or encrypts, or else with Msgpack. If a codec of either option signs or
// encrypts, it accepts only messages in the codecs of these two options: a task in another built-in codec
// becomes a dead letter, and a result in another codec is an error. To introduce such a codec while tasks
// are waiting, first let all processes accept it, then let all encode with it, and then drop the old one:
//
//	minion.New(b, minion.Codec(codec.Msgpack()), minion.Codecs(c)) // first
//	minion.New(b, minion.Codec(c), minion.Codecs(codec.Msgpack())) // then
//	minion.New(b, minion.Codec(c))                                 // when no old task is left
//
// # Parameters
//
// Each exported field of such a struct is a parameter, and their order is the order of the fields. The
// tag `arbiter:"name,options"` names the parameter; without a name, it has the name of the field. The tag
// `arbiter:"-"` leaves the field out. The options are
//
//   - optional: the parameter may be missing when decoding, by name or at the end of the positional
//     arguments. The field is then set to its zero value.
//   - default=TEXT: the parameter may be missing, too, and the field is then set to the value of TEXT.
//     This must be the last option, since TEXT may contain commas. The field must be a string, a bool,
//     an integer, a finite float or a [time.Duration], which is written as 1m30s.
//   - variadic: only for the last parameter, a slice. By position it takes all remaining arguments,
//     perhaps none. By name it is a slice like any other, and may be missing.
//
// A name is a letter or an underscore, followed by letters, digits, underscores and hyphens. The
// parameters of an embedded struct are inlined. Two parameters with the same name are refused. Call
// [CheckArgs] at the start of a program to find errors that would otherwise appear at the first call.
//
// The encoding of a struct is a map by parameter name with all parameters, in the order of the fields. A
// caller that has no struct uses [Arguments], by position, by name or both. DecodeArgs decodes every
// form into either type. It is strict about the set of parameters: a missing, an unknown or a repeated
// one is an error that names it.
//
// # Values
//
// Inside a value, a struct is a map by field name. Msgpack reads the tag `msgpack:"name,omitempty"`, and
// for fields without one the tag `json:"name,omitempty,omitzero"`. JSON reads the json tag. So one set
// of json tags serves both. Unknown keys in a nested struct are ignored, and fields without a key get
// their zero values, so that such types can grow.
//
// Decoding replaces the value of the destination. It never changes a value to make it fit. These are
// errors: a number out of range, a value of another type, a null for a type without one, an array with
// another length than the Go array, missing bytes or bytes after the value, and nesting deeper than 1000
// levels.
//
// An [Error] tells where in the value it occurred, as in "msgpack: opts.Sizes[3]: a number overflows
// int8". Since errors are stored and logged, it names fields and types and shows no values. For the same
// reason an entry of a map is shown by its position, "[key 0]", and the error of a method that decodes,
// such as UnmarshalText, only by its type; errors.Is and errors.As find the error itself. After an error
// the destination may be partly filled.
//
// The memory for a decoded value is limited. Before memory is allocated for a length that the input
// declares, the length is compared with the bytes that remain. A value may need 256 bytes of memory for
// each byte of the input, and 1 MiB besides. If the input is longer than 1 MiB, the value may need 256
// MiB, or 16 bytes for each byte of the input if that is more, and 1 MiB besides. A value that needs more
// is refused with [ErrExpansion]. For an input of up to 1 MiB, only slices and maps of structs larger than
// 256 bytes, most of which are empty, can exceed the limit.
//
// The limit applies to the decoded value. While a slice grows, three times as much may be allocated, and
// malformed input may take 8 MiB before the error. Memory that methods of a type allocate is not counted.
// A decoded value never shares memory with the input.
//
// # The type any
//
// Both codecs decode into a destination of type any
//
//   - int64 for an integer, or uint64 if it fits only there,
//   - float64 for every other number,
//   - string, bool, and nil,
//   - []any for an array,
//   - map[string]any for a map,
//   - []byte for binary data (msgpack only: in JSON it is a base64 string),
//   - time.Time in UTC for a timestamp (msgpack only: in JSON it is a string),
//   - map[any]any for a map with a key that is not a string (msgpack only).
//
// JSON has only one kind of number. A float64 without a fraction is written as an integer, and so is
// decoded as int64.
//
// # Types with an encoding of their own
//
// Msgpack uses these methods, on value and on pointer receivers, in this order: msgpack.CustomEncoder
// with msgpack.CustomDecoder, msgpack.Marshaler with msgpack.Unmarshaler, time.Time (a msgpack
// timestamp), encoding.BinaryMarshaler with encoding.BinaryUnmarshaler (binary data),
// encoding.TextMarshaler with encoding.TextUnmarshaler (a string). It takes the first pair of which a
// type has both methods. A type that has only the method to encode can be sent and not received. JSON
// uses the methods that encoding/json uses. If a method panics, the call returns an error.
//
// A struct of arguments is always encoded by its fields, even if it has such methods.
package codec
