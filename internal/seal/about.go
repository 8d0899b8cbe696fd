package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// about is what a seal is bound to: a direction, and the parts that say where the bytes
// belong. Each part has its length in front, so that no two lists of parts are alike.
type about []byte

// The directions. What was sealed for one can't be opened as another. They are stored
// nowhere, but are part of the format: docs/wire.md lists them.
const (
	arguments   = "arguments"    // of a task that can run
	step        = "step"         // arguments of a task that gets another one's result
	result      = "result"       // of a task, group or pipe
	failure     = "failure"      // the same, if it ended in another way
	lastFailure = "last failure" // of an attempt, of a task that is retried
	event       = "event"
	flowRecord  = "flow"
	metadata    = "metadata"
	reason      = "reason" // why a step has no result to start with
)

func direction(d string) about {
	return about(make([]byte, 0, 256)).text(d)
}

func (a about) text(s string) about {
	return append(binary.BigEndian.AppendUint32(a, uint32(len(s))), s...)
}

func (a about) id(id broker.ID) about { return append(a, id[:]...) }

func (a about) number(n int64) about { return binary.BigEndian.AppendUint64(a, uint64(n)) }

// task is about the arguments of a task: all that decides what runs, as whom and how
// often. Not in it is what brokers edit: when it is due, its deadline, the counts of its
// attempts, whether it was cancelled, and whether it waits for its squad.
func task(t *broker.Task) about {
	a := direction(arguments)
	if t.Upstream != "" {
		a = direction(step).text(t.Upstream)
	}
	a = a.id(t.ID).text(t.Name).text(t.Queue).id(t.Parent).id(t.Group).number(int64(t.Step))
	a = a.text(t.Unique).number(int64(t.Retries)).number(int64(t.Schema))
	timeout := int64(-1)
	if t.Timeout != broker.NoTimeout { // in the precision in which it is stored
		timeout = int64((t.Timeout + time.Microsecond - 1) / time.Microsecond)
	}
	a = a.number(timeout).number(t.Retention.Milliseconds()).number(t.DeadFor.Milliseconds())
	return a.meta(t.Meta)
}

func (a about) meta(meta map[string]string) about {
	a = a.number(int64(len(meta)))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		a = a.text(k).text(meta[k])
	}
	return a
}

// outcome is about the result of a task, group or pipe. Its name is in it, since the
// outcome says it to the reader.
func outcome(id broker.ID, name string) about {
	return direction(result).id(id).text(name)
}

// failed is about a failure, of which all can be read but what is hidden.
func failed(id broker.ID, o *broker.Outcome, f *broker.Failure) about {
	return direction(failure).id(id).text(o.Name).number(int64(o.State)).failure(f)
}

// attempt is about the failure of an attempt after which the task is retried.
func attempt(id broker.ID, n uint32, f *broker.Failure) about {
	return direction(lastFailure).id(id).number(int64(n)).failure(f)
}

// failure adds what can be read of a failure.
func (a about) failure(f *broker.Failure) about {
	bare := *f
	bare.Seal = nil
	sum := sha256.Sum256(failureRecord(&bare))
	return append(a, sum[:]...)
}

func topic(name string) about { return direction(event).text(name) }

// flow is about a group or pipe: what it consists of, and where it belongs.
func flow(f *broker.Flow, members []broker.ID) about {
	a := direction(flowRecord).id(f.ID).number(int64(f.Size)).number(int64(f.Need))
	a = a.id(f.Callback).id(f.Finalizer).id(f.Group).number(int64(f.Step))
	h := sha256.New()
	for i := range members {
		h.Write(members[i][:])
	}
	return h.Sum(a)
}

func meta(id broker.ID) about { return direction(metadata).id(id) }

func why(id broker.ID) about { return direction(reason).id(id) }
