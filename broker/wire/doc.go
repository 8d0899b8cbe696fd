// Package wire defines how a broker stores tasks, outcomes and flows: as records of bytes
// that each version of Arbiter can read. Brokers, arbiters and minions use it; programs
// do not need it. docs/wire.md has the tables of the format.
//
// A task is stored as a message: a head of fixed width, which a store may edit in place
// (a script in Redis does), and a body in msgpack, which only clients read. All other
// records are a version byte and a msgpack array. An array may only grow, and a
// reader skips the fields that it does not know.
//
// For each kind of record there is an Append function, which appends the record to a slice,
// and a Parse function, which reads it:
//
//	message         AppendRecord       ParseRecord, AdoptRecord, ParseHead, ParseNewer
//	outcome         AppendOutcome      ParseOutcome, ParseResult, ParseState
//	flow            AppendFlow         ParseFlow
//	flow, position  AppendFlowRef      ParseFlowRef
//	submission      AppendSubmit       ParseSubmit
//	metadata        AppendMeta         ParseMeta
//	last failure    AppendLastFailure  ParseLastFailure
//
// A Parse function never panics. Its error wraps [broker.ErrVersion] if another version
// wrote the record, and [broker.ErrMalformed] if the record is damaged.
package wire
