package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// A script can touch a message only by copying it into Lua and out again, and a
// task passes three of them. So the record of a large one is kept apart, as a
// string that plain commands write and read, and what goes through the lists and
// hashes is an entry: the record's head, marked, and how long the record is.
//
//	SET record, for a while ──▶ enqueue: entry, and the record is kept for good
//	                            entries pass as any messages
//	            GET record  ◀── whoever is handed an entry
//	                            settle: the record goes; with a dead letter it
//	                            stays for as long as that
//
// So a sender that dies before its script leaves a record that ends by itself,
// and there is no entry without a record. docs/wire.md has the bytes.

// apartFrom is the size of a payload, in bytes, from which on its record is kept
// apart. At 16 KiB that is three times as fast, at 4 KiB a quarter faster; a
// message of less than 2 KiB would pay more for two commands than for its copies.
const apartFrom = 4 << 10

// apartMark is the version byte of an entry.
const apartMark = 0x80 | broker.MessageVersion

// entrySize is the length of an entry: a head and four bytes.
const entrySize = broker.HeadSize + 4

// readBytes is about how much is read at a time: the server has all replies of a
// request in memory before it sends the first of them.
const readBytes = 512 << 10

// orphanFor is how long a record stays that no task refers to. A sender whose
// script comes later than that stores it again.
const orphanFor = time.Minute

// keptApart says whether a task's record is kept apart. The body of one that waits
// for others is replaced when it is released, and of one that is dropped the
// unique key has to be read: those stay whole.
func (c *config) keptApart(t *broker.Task) bool {
	return len(t.Payload) >= c.apartFrom && !t.Blocked && t.Unique == ""
}

// record is the key of a task's record, if it is kept apart.
func (k *keys) record(id broker.ID) string { return k.base + "record:" + hex.EncodeToString(id[:]) }

// appendEntry appends what stands for a record in lists and hashes.
func appendEntry(dst, record []byte) []byte {
	dst = append(append(dst, apartMark), record[1:broker.HeadSize]...)
	return binary.BigEndian.AppendUint32(dst, uint32(len(record)))
}

func isEntry(msg string) bool {
	return len(msg) == entrySize && msg[0] == apartMark ||
		len(msg) >= entrySize && msg[0] > apartMark && msg[0] <= 0x80|broker.MaxMessageVersion
}

// versionOf returns the version of a message, or of the one that an entry stands for.
func versionOf(msg string) uint8 { return msg[0] &^ 0x80 }

// entryID and recordSize read an entry.
func entryID(entry string) broker.ID { return toID(entry[broker.OffsetID:]) }

func recordSize(entry string) int {
	return int(binary.BigEndian.Uint32([]byte(entry[broker.HeadSize:])))
}

// join puts the head of an entry, which scripts have edited, in front of the
// record's body. Without a record it is a head alone.
func join(entry string, record []byte) []byte {
	if len(record) < broker.HeadSize {
		record = make([]byte, broker.HeadSize)
		record[0] = broker.MessageVersion
	}
	copy(record[1:broker.HeadSize], entry[1:])
	return record
}

// stored is a record that is to be stored apart.
type stored struct {
	key    string
	record []byte
}

// command stores the record unless there is one: then it is that of the same
// task, sent before, or the script will say that it is not.
func (s stored) command(ctx context.Context) onceCmd {
	return onceCmd{redis.NewCmd(ctx, "set", s.key, s.record, "nx", "px", orphanFor.Milliseconds())}
}

// records reads what is kept apart of those messages that are entries, and has
// nil for the others. One that is not there is nil as well. The memory is the
// caller's.
func (b *Broker) records(ctx context.Context, k *keys, msgs []string) ([][]byte, error) {
	var out [][]byte
	var places []int
	size := 0
	for i, msg := range msgs {
		if !isEntry(msg) || versionOf(msg) > b.cfg.reads {
			continue
		}
		if out == nil {
			out = make([][]byte, len(msgs))
		}
		places = append(places, i)
		if size += recordSize(msg); size < readBytes {
			continue
		}
		if err := b.readRecords(ctx, k, msgs, places, out); err != nil {
			return nil, err
		}
		places, size = places[:0], 0
	}
	if len(places) > 0 {
		if err := b.readRecords(ctx, k, msgs, places, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readRecords reads the records of the entries at some places, in one round trip.
func (b *Broker) readRecords(ctx context.Context, k *keys, msgs []string, places []int, out [][]byte) error {
	pipe := b.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(places))
	for i, place := range places {
		cmds[i] = pipe.Get(ctx, k.record(entryID(msgs[place])))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, place := range places {
		record, err := cmds[i].Bytes()
		if err == redis.Nil {
			record, err = b.readRecord(ctx, k, entryID(msgs[place]))
		}
		if isSpoiled(err) { // of another type: that is as if it was not there
			record, err = nil, nil
		}
		if err != nil {
			err = b.fault("read a record", err)
			b.relearn(ctx, err)
			return err
		}
		out[place] = record
	}
	return nil
}

// readRecord reads one record from who decides what there is: a replica that a
// client was allowed to read from may not have it yet.
func (b *Broker) readRecord(ctx context.Context, k *keys, id broker.ID) ([]byte, error) {
	reply, err := scriptRecord.run(ctx, b, []string{k.record(id)})
	if reply == nil || err != nil {
		return nil, err
	}
	return []byte(toString(reply)), nil
}

// recordAt returns a record, if there are any.
func recordAt(records [][]byte, i int) []byte {
	if records == nil {
		return nil
	}
	return records[i]
}

// parse reads a message into d, with its record if it is kept apart. Of one that is newer
// than what is read here it reads the head.
func (b *Broker) parse(d *broker.Delivery, msg string, record []byte, now int64) error {
	if len(msg) >= broker.HeadSize && versionOf(msg) > b.cfg.reads {
		head := []byte(msg[:broker.HeadSize])
		if isEntry(msg) {
			head[0] = versionOf(msg)
		}
		return broker.ParseNewer(d, head, now, b.cfg.reads)
	}
	if !isEntry(msg) {
		return broker.ParseRecord(d, []byte(msg), now)
	}
	err := broker.AdoptRecord(d, join(msg, record), now)
	if record == nil {
		err = fmt.Errorf("task %s: %w: the server has no record of its content; does it evict keys?", d.ID, broker.ErrMalformed)
	}
	return err
}
