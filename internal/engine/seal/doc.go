// Package seal binds stored data to its position, if the codec seals: arguments to their task,
// queue, flow, options and metadata; results and failures to their task; events to their topic;
// groups and pipes to their members. Then a process that can write to the broker and has no key
// can destroy and delay tasks, but it can neither make nor move any. docs/security.md describes
// the whole.
//
// Functions that take several codecs choose the one that the record names, by the rules of
// [codec.ByName]. With a codec that does not seal they do nothing and allocate nothing.
package seal
