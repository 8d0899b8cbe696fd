// Package derive makes ids of tasks, groups and pipes from what they are, so that a process that sends the same thing again
// sends it under the same id, and the broker stores it once.
package derive

import (
	"crypto/sha256"

	"github.com/go-arbiter/arbiter/broker"
)

// ID returns the id for a seed. origin is what the time of other ids is: bytes that do not change when the same thing is sent
// again; the first four are used.
func ID(kind broker.Kind, queue string, origin, seed []byte) broker.ID {
	// The layout is the one of any id, with bytes of the hash where other ids are random:
	//
	//	0–3    the origin (in other ids the time, in units of 65 seconds)
	//	4–5    hash (in other ids the rest of the time)
	//	6–7    version, kind and hash of the queue
	//	8–14   variant and hash; byte 9 is the partition
	//	15     0: the id is in no block
	sum := sha256.Sum256(seed)
	id := broker.NewID(kind, queue, 0)
	copy(id[0:4], origin)
	copy(id[4:6], sum[0:2])
	id[8] = 0x80 | sum[2]&0x3f
	id[9] = sum[9]
	copy(id[10:15], sum[3:8])
	return id
}

// TaskID is ID for a task. It is in the partition of its unique key or of its lane, since the broker finds the holder of a
// unique key in the partition that the key gives, and all lanes of a queue in one.
func TaskID(t *broker.Task, origin, seed []byte) broker.ID {
	id := ID(broker.KindTask, t.Queue, origin, seed)
	switch {
	case t.Lane != nil:
		id[9] = broker.LanePartition
	case t.Unique.Key != "":
		id[9] = broker.KeyPartition(t.Unique.Key)
	}
	return id
}
