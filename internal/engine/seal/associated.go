package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// A seal covers the sealed bytes and also data that is not sealed but says where the bytes
// belong: the associated data of authenticated encryption. This file makes it. It begins with a
// direction, so that data sealed for one purpose can't be opened as data for another. Each part
// has its length before it, so that no two lists of parts give the same bytes.

// associatedData is the associated data of a seal.
type associatedData []byte

const (
	// The directions. They are not stored, but they are part of the format: docs/wire.md lists
	// them.
	arguments   = "arguments"    // of a task that can run
	step        = "step"         // arguments of a task that gets the result of another one
	result      = "result"       // of a task, group or pipe
	failure     = "failure"      // of a task, group or pipe that ended without a result
	lastFailure = "last failure" // of an attempt after which the task is retried
	event       = "event"
	flowRecord  = "flow"
	metadata    = "metadata"
	reason      = "reason" // why a step starts without a result
)

// direction begins associated data.
func direction(d string) associatedData {
	return associatedData(make([]byte, 0, 256)).text(d)
}

// text adds a string.
func (a associatedData) text(s string) associatedData {
	return append(binary.BigEndian.AppendUint32(a, uint32(len(s))), s...)
}

// id adds an id.
func (a associatedData) id(id broker.ID) associatedData { return append(a, id[:]...) }

// number adds a number.
func (a associatedData) number(n int64) associatedData {
	return binary.BigEndian.AppendUint64(a, uint64(n))
}

// task is for the arguments of a task. It includes every field that decides which code runs, as
// which task and how often. It excludes fields that brokers change: due time, deadline, numbers
// of attempts, whether the task was cancelled, and whether it waits for its squad.
func task(t *broker.Task) associatedData {
	a := direction(arguments)
	if t.Flow.Upstream != "" {
		a = direction(step).text(t.Flow.Upstream)
	}
	a = a.id(t.ID).text(t.Name).text(t.Queue).id(t.Parent).id(t.Flow.ID).number(int64(t.Flow.Step))
	a = a.text(t.Unique.Key).rule(&t.Unique).number(int64(t.Retries)).number(int64(t.Schema))
	timeout := int64(-1)
	if t.Timeout != broker.NoTimeout { // in microseconds, as it is stored
		timeout = int64((t.Timeout + time.Microsecond - 1) / time.Microsecond)
	}
	a = a.number(timeout).number(t.Retention.Milliseconds()).number(t.DeadFor.Milliseconds())
	a = a.meta(t.Meta)
	// A field that was added later is left out if it is zero, so that older seals still match.
	if t.Slots != 0 {
		a = a.number(int64(t.Slots))
	}
	return a
}

// rule adds the rule of a unique key, if there is one: it decides which other tasks are replaced.
func (a associatedData) rule(u *broker.Unique) associatedData {
	if *u == (broker.Unique{Key: u.Key}) {
		return a
	}
	until := int64(0)
	if u.UntilStart {
		until = 1
	}
	// The times are in milliseconds, as they are stored.
	return a.text("rule").number(until).number(int64(u.OnConflict)).number(int64(wire.RuleMillis(u.For))).number(int64(wire.RuleMillis(u.MaxAge)))
}

// meta adds metadata.
func (a associatedData) meta(meta map[string]string) associatedData {
	a = a.number(int64(len(meta)))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		a = a.text(k).text(meta[k])
	}
	return a
}

// outcome is for the result of a task, group or pipe. It includes the name, because readers
// rely on the name in an outcome.
func outcome(id broker.ID, name string) associatedData {
	return direction(result).id(id).text(name)
}

// failed is for a failure. It includes everything of the failure that is stored readable.
func failed(id broker.ID, o *broker.Outcome, f *broker.Failure) associatedData {
	return direction(failure).id(id).text(o.Name).number(int64(o.State)).failure(f)
}

// attempt is for the failure of an attempt after which the task is retried.
func attempt(id broker.ID, n uint32, f *broker.Failure) associatedData {
	return direction(lastFailure).id(id).number(int64(n)).failure(f)
}

// failure adds a hash of everything of a failure that is stored readable.
func (a associatedData) failure(f *broker.Failure) associatedData {
	bare := *f
	bare.Seal = nil
	sum := sha256.Sum256(failureRecord(&bare))
	return append(a, sum[:]...)
}

// topic is for an event of a topic.
func topic(name string) associatedData { return direction(event).text(name) }

// flow is for the record of a group or pipe: its members, and the flow that it is in.
func flow(f *broker.Flow, members []broker.ID) associatedData {
	a := direction(flowRecord).id(f.ID).number(int64(f.Size)).number(int64(f.Quorum))
	a = a.id(f.Callback).id(f.Finalizer).id(f.Group).number(int64(f.Step))
	h := sha256.New()
	for i := range members {
		h.Write(members[i][:])
	}
	return h.Sum(a)
}

// meta is for hidden metadata of a task.
func meta(id broker.ID) associatedData { return direction(metadata).id(id) }

// why is for the reason why a step starts without a result.
func why(id broker.ID) associatedData { return direction(reason).id(id) }
