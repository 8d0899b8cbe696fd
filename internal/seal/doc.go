// Package seal binds what is stored to the place that it is for, where the codec seals:
// arguments to their task, queue, flow, options and metadata; results and failures to the
// task that they are of; events to their topic; groups and pipes to their members. Whoever
// can write to the broker and has no key can then destroy and hold up, but neither make
// nor move anything. docs/security.md has the whole of it.
//
// Functions that take codecs look for the one that the record names, by the rules of
// [codec.ByName]. With a codec that does not seal they do nothing and allocate nothing.
package seal
