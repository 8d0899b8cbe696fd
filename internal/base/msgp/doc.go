// Package msgp encodes and decodes single elements of msgpack. The Append functions write to the end of a slice, and the
// Take functions read from the front of one. The broker's records and the values of the msgpack codec are built with
// them.
//
// The functions allocate only for errors, and keep no reference to their arguments. A []byte that was made of a string
// without a copy can therefore be read with them. The slices that Take functions return share memory with the input.
package msgp
