package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/derive"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Tick is the tick that a task runs for.
type Tick struct {
	Schedule string    // the name of the schedule
	Nominal  time.Time // the moment at which it was due, without jitter and delays; of a triggered tick the moment of the call
	Kind     Kind
}

// The metadata of a task that runs for a tick.
const (
	nameKey    = "arbiter.schedule"
	nominalKey = "arbiter.nominal" // RFC 3339, in UTC
	kindKey    = "arbiter.tick"    // of a tick that is not scheduled: its kind
)

// FromContext returns the tick that the handler of ctx runs for. ok is false if its task was not sent by a schedule. The zone of
// Nominal is UTC.
func FromContext(ctx context.Context) (t Tick, ok bool) {
	info, _ := task.FromContext(ctx)
	return FromMeta(info.Meta)
}

// FromMeta is FromContext for the metadata of a task, as the status of a task has it.
func FromMeta(meta map[string]string) (t Tick, ok bool) {
	t.Schedule = meta[nameKey]
	at, err := time.Parse(time.RFC3339Nano, meta[nominalKey])
	if t.Schedule == "" || err != nil {
		return Tick{}, false
	}
	t.Nominal = at.UTC()
	switch meta[kindKey] {
	case Triggered.String():
		t.Kind = Triggered
	case Backfilled.String():
		t.Kind = Backfilled
	}
	return t, true
}

// Nominal returns the nominal time of the tick that the handler of ctx runs for, or the zero time if there is none.
func Nominal(ctx context.Context) time.Time {
	t, _ := FromContext(ctx)
	return t.Nominal
}

// metaOf returns the metadata of a task, with those of the tick.
func metaOf(meta map[string]string, name string, kind Kind, nominal int64) map[string]string {
	meta = maps.Clone(meta)
	if meta == nil {
		meta = make(map[string]string, 3)
	}
	meta[nameKey], meta[nominalKey] = name, time.UnixMilli(nominal).UTC().Format(time.RFC3339Nano)
	if kind != Scheduled {
		meta[kindKey] = kind.String()
	}
	return meta
}

// idOf returns the id of the task of a tick. It is made of the schedule, which has a name and the time at which it was stored
// first, and of the nominal time. A tick that is backfilled is the same as the scheduled one; a triggered one is another.
func idOf(name string, born int64, kind Kind, nominal int64, t *broker.Task) broker.ID {
	seed := append([]byte("arbiter schedule\x00"+name+"\x00"), 0)
	if kind == Triggered {
		seed[len(seed)-1] = 1
	}
	seed = binary.BigEndian.AppendUint64(seed, uint64(born))
	seed = binary.BigEndian.AppendUint64(seed, uint64(nominal))
	return derive.TaskID(t, binary.BigEndian.AppendUint64(nil, uint64(nominal)<<16), seed)
}

// hashOf returns a number that a tick of a schedule decides.
func hashOf(name string, nominal int64) uint64 {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("jitter\x00"+name+"\x00"), uint64(nominal)))
	return binary.BigEndian.Uint64(sum[:])
}

// taskOf returns the task of a run, ready to be stored.
func (c *config) taskOf(s *stored, r *run, now time.Time) (*broker.Task, error) {
	t := *s.task
	t.ID, t.Enqueued = r.ID, now
	t.Meta = metaOf(t.Meta, s.name, r.Kind, r.Nominal)
	sealer, err := c.sealer(t.Codec)
	if err != nil {
		return nil, err
	}
	if sealer != nil {
		if err := seal.Task(sealer, &t); err != nil {
			return nil, err
		}
	}
	return &t, nil
}
