// Package rules is the code that the codecs for msgpack and JSON share, so that both have the same rules: errors with the place
// where they occurred, the fields of a struct, the calls of methods of users' types, and the memory that a message may need.
package rules
