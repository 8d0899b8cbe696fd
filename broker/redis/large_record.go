package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file stores large records under keys of their own.
//
// A script can move a message only by copying it into Lua and out again, and a task
// passes three scripts. Those copies are most of the cost of a large message. So the
// record of a task with a large payload is a string key of its own, which plain SET and GET
// commands write and read. The lists and hashes hold a stub in its place: the head of the
// record with a marked version byte, and the length of the record.
//
//	SET record, expires in a minute ──▶ enqueue stores the stub and removes the expiry
//	                                    scripts move the stub like any message
//	                    GET record  ◀── the consumer that was handed the stub
//	                                    settle deletes the record, or lets it expire
//	                                    together with its dead letter
//
// The record is stored first. So a sender that dies before its script leaves a record that
// expires, and no stub is ever without its record. docs/wire.md has the bytes.

// largeRecordFrom is the payload size in bytes from which a record gets a key of its own. Measured:
// three times as fast at 16 KiB, a quarter faster at 4 KiB, slower below 2 KiB, where the two
// extra commands cost more than the copies.
const largeRecordFrom = 4 << 10

// stubMark is the version byte of a stub.
const stubMark = 0x80 | wire.PlainVersion

// stubSize is the length of a stub: a head, and the length of the record (4 bytes).
const stubSize = wire.HeadSize + 4

// readBytes bounds roughly how many bytes one request reads. The server builds all replies
// of a request in memory before it sends the first.
const readBytes = 512 << 10

// orphanFor is how long the server keeps a record that no stub refers to yet. If the script
// runs later than that it finds the record missing, and the sender stores it again.
const orphanFor = time.Minute

// hasLargeRecord reports whether the record of t gets a key of its own. Three kinds of large tasks
// stay whole: a blocked task, since its body is replaced when it is released; a task with a
// unique key, since a requeue reads that key from the message; and a task with a lane, which
// scripts read.
func (c *config) hasLargeRecord(t *broker.Task) bool {
	return len(t.Payload) >= c.largeRecordFrom && !t.Flow.Blocked && t.Unique.Key == "" && t.Lane == nil
}

// record is the key of the large record of a task.
func (k *keys) record(id broker.ID) string { return k.base + "record:" + hex.EncodeToString(id[:]) }

// appendStub appends the stub of a record.
func appendStub(dst, record []byte) []byte {
	dst = append(append(dst, stubMark), record[1:wire.HeadSize]...)
	return binary.BigEndian.AppendUint32(dst, uint32(len(record)))
}

// isStub reports whether a message is a stub. The stub of a later version may be longer.
func isStub(msg string) bool {
	return len(msg) == stubSize && msg[0] == stubMark ||
		len(msg) >= stubSize && msg[0] > stubMark && msg[0] <= 0x80|wire.MaxMessageVersion
}

// versionOf returns the version of a message; of a stub, the version of its record.
func versionOf(msg string) uint8 { return msg[0] &^ 0x80 }

// stubID returns the task id in a stub.
func stubID(stub string) broker.ID { return toID(stub[wire.OffsetID:]) }

// recordSize returns the length of the record that a stub stands for.
func recordSize(stub string) int {
	return int(binary.BigEndian.Uint32([]byte(stub[wire.HeadSize:])))
}

// withHead copies the head of a stub over the head of its record, and returns the record.
// Scripts edit the head of the stub only, so that one is up to date. If record is missing
// or too short the result is a head alone.
func withHead(stub string, record []byte) []byte {
	if len(record) < wire.HeadSize {
		record = make([]byte, wire.HeadSize)
		record[0] = wire.PlainVersion
	}
	copy(record[1:wire.HeadSize], stub[1:])
	return record
}

// largeRecord is a large record that has to be stored before a script runs.
type largeRecord struct {
	key    string
	record []byte
}

// command returns the command that stores the record, unless the key exists. A record that
// exists is from an earlier try to send the same task; if it is not, the script refuses
// it.
func (s largeRecord) command(ctx context.Context) onceCmd {
	return onceCmd{redis.NewCmd(ctx, "set", s.key, s.record, "nx", "px", orphanFor.Milliseconds())}
}

// largeRecords reads the large records of those messages that are stubs, by index in msgs. The
// element of any other message is nil, and so is that of a record that does not exist. The
// slice is nil if no message is a stub. The caller owns the memory. Messages of a version
// that is too new to be parsed are left out.
func (b *Broker) largeRecords(ctx context.Context, k *keys, msgs []string) ([][]byte, error) {
	var out [][]byte
	var positions []int
	size := 0
	for i, msg := range msgs {
		if !isStub(msg) || versionOf(msg) > b.cfg.reads {
			continue
		}
		if out == nil {
			out = make([][]byte, len(msgs))
		}
		positions = append(positions, i)
		if size += recordSize(msg); size < readBytes {
			continue
		}
		if err := b.readLargeRecords(ctx, k, msgs, positions, out); err != nil {
			return nil, err
		}
		positions, size = positions[:0], 0
	}
	if len(positions) > 0 {
		if err := b.readLargeRecords(ctx, k, msgs, positions, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readLargeRecords reads the records of the stubs at the given indices of msgs into out, in one
// round trip.
func (b *Broker) readLargeRecords(ctx context.Context, k *keys, msgs []string, positions []int, out [][]byte) error {
	pipe := b.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(positions))
	for i, position := range positions {
		cmds[i] = pipe.Get(ctx, k.record(stubID(msgs[position])))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, position := range positions {
		record, err := cmds[i].Bytes()
		if err == redis.Nil {
			record, err = b.readLargeRecord(ctx, k, stubID(msgs[position]))
		}
		if isWrongType(err) { // a key of another type counts as missing
			record, err = nil, nil
		}
		if err != nil {
			err = b.fault("read a record", err)
			b.relearn(ctx, err)
			return err
		}
		out[position] = record
	}
	return nil
}

// readLargeRecord reads one record by a script, so that the master answers. A client may be
// configured to read from replicas, and these may not have the record yet.
func (b *Broker) readLargeRecord(ctx context.Context, k *keys, id broker.ID) ([]byte, error) {
	reply, err := scriptRecord.run(ctx, b, []string{k.record(id)})
	if reply == nil || err != nil {
		return nil, err
	}
	return []byte(toString(reply)), nil
}

// recordAt returns records[i], or nil if records is nil.
func recordAt(records [][]byte, i int) []byte {
	if records == nil {
		return nil
	}
	return records[i]
}

// parse parses a message into d. Record is the large record if msg is a stub. If the version
// of the message is newer than this broker reads, parse reads its head alone and returns
// the error of [wire.ParseNewer]. Even after an error d.ID is set if the head is readable.
func (b *Broker) parse(d *broker.Delivery, msg string, record []byte, now int64) error {
	if len(msg) >= wire.HeadSize && versionOf(msg) > b.cfg.reads {
		head := []byte(msg[:wire.HeadSize])
		if isStub(msg) {
			head[0] = versionOf(msg)
		}
		return wire.ParseNewer(d, head, now, b.cfg.reads)
	}
	if !isStub(msg) {
		return wire.ParseRecord(d, []byte(msg), now)
	}
	err := wire.AdoptRecord(d, withHead(msg, record), now)
	if record == nil {
		err = fmt.Errorf("task %s: %w: the server has no record of its content; does it evict keys?", d.ID, broker.ErrMalformed)
	}
	return err
}
