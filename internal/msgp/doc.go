// Package msgp writes and reads the pieces of msgpack by hand: to the end of a
// slice, and from the front of one. Records of the broker and values of the
// msgpack codec are made of them.
//
// Nothing here allocates, but for errors, and nothing keeps what it is given:
// a []byte made of a string only to be read costs no copy. What a function
// returns of its input shares memory with it.
package msgp
