// Package wire defines how a broker stores tasks, outcomes and flows: as records of bytes
// that each version of Arbiter can read. Brokers, arbiters and minions use it; programs
// do not need it. docs/wire.md has the tables of the format.
//
// A task is stored as a message: a head of fixed width, which a store may edit in place
// (a script in Redis does), and a body in msgpack, which only clients read. The other
// records are a version byte and a msgpack array. An array may only grow, and a
// reader skips the fields that it does not know. There are two exceptions: metadata is a
// version byte and a msgpack map, and a flow with a position is 20 bytes without a version.
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
// [RecordName] and [MetaSpan] read one field of a message without the rest.
//
// A Parse function never panics. Its error wraps [broker.ErrVersion] if another version
// wrote the record, and [broker.ErrMalformed] if the record is damaged. ParseResult and
// ParseState have no error: they say in their results that they can't read the record.
package wire
