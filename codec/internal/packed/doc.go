// Package packed encodes Go values as msgpack, and decodes them by the strict rules that package codec documents. It is the only
// package that knows how Go types correspond to msgpack. The codec itself, with the rules for arguments, is in package codec.
//
// [PlanOf] returns the [Plan] of a type. A plan encodes values with Append, and decodes them with Take; TakeElems decodes the
// elements of a slice whose head the caller has read. Before a value is decoded, Afford must be asked whether the message may need
// the memory for it. [Check] tells before the first value whether a type can be encoded and decoded.
//
// [AppendAny] and [TakeAny] are for values whose type is only known when they are encoded, or not at all. [AppendAnySlice],
// [AppendNamed] and [TakeAnyElems] are for their lists and maps.
//
// Depth is always the number of arrays and maps around a value. Errors have the path to the value, as package rules makes it.
package packed
