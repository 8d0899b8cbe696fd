package brokertest

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/go-arbiter/arbiter/broker"
)

// op is one step of a random program. A program is plain data, drawn before it runs, so rapid can
// shrink it and it can run in a bubble. A number names a task, a delivery or a minion, modulo how
// many there are.
type op struct {
	kind  opKind
	who   int // minion
	which int // task or delivery
	n     int // how many, or one of several choices
	delay int // in eighths of a lease
}

type opKind int

const (
	opEnqueue opKind = iota
	opRepeat
	opDequeue
	opSettle
	opSteal
	opCancel
	opAdvance
	opDie
	opClose
	opRequeue
	opUnblock
	opStart
	opFree
)

// The choices that op.n selects.
var (
	opQueues  = [][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "a"}}
	opSettles = []string{"succeeded", "failed", "canceled", "expired", "retry", "snooze", "give back"}
	opKeys    = []string{"", "", "", "k", "l"}
	opNames   = []string{"A", "B", "C"}
)

// opShares lists each kind of operation as often as it is to be drawn, relative to the others.
var opShares = []opKind{
	opEnqueue, opEnqueue, opEnqueue, opEnqueue, opEnqueue,
	opDequeue, opDequeue, opDequeue, opDequeue,
	opSettle, opSettle, opSettle, opSettle, opSettle,
	opRepeat, opCancel, opCancel, opAdvance, opAdvance, opSteal, opDie, opClose, opRequeue, opUnblock, opUnblock,
	opStart, opStart, opFree,
}

func drawOp(t *rapid.T) op {
	return op{
		kind:  rapid.SampledFrom(opShares).Draw(t, "op"),
		who:   rapid.IntRange(0, len(opNames)-1).Draw(t, "who"),
		which: rapid.IntRange(0, 15).Draw(t, "which"),
		n:     rapid.IntRange(0, 59).Draw(t, "n"),
		delay: rapid.SampledFrom([]int{0, 0, 0, 1, 3, 9}).Draw(t, "delay"),
	}
}

// String returns the drawn operation. The history of a failed run says what it did.
func (o op) String() string {
	return fmt.Sprintf("%s(%s %d %d %d)", [...]string{
		"enqueue", "repeat", "dequeue", "settle", "steal", "cancel", "advance", "die", "close", "requeue", "unblock", "start", "free",
	}[o.kind], opNames[o.who], o.which, o.n, o.delay)
}

// GoString is the text that rapid prints.
func (o op) GoString() string { return o.String() }

// times returns n sixteenths of a lease, rounded down to milliseconds like the times in records.
func times(n int, r *rig) time.Duration {
	return (time.Duration(n) * r.Lease / 16).Truncate(time.Millisecond)
}

// task returns the task that the operation draws. Its delays are odd multiples of a sixteenth of a
// lease, and the clock advances by even multiples. So nothing becomes due at the moment of an
// operation. If there is a flow, some tasks are members of it, and some of these are blocked.
func (o op) task(r *rig, mail, flow broker.ID, ruled bool) *broker.Task {
	t := r.task(onQueue([]string{"a", "b"}[o.n%2]), keyed(opKeys[o.n/2%len(opKeys)]), inbox(mail))
	if o.delay > 0 {
		t.Delay = times(2*o.delay+1, r)
	}
	if !flow.IsZero() && o.who > 0 {
		t.Flow.ID, t.Flow.Step, t.Flow.Blocked = flow, uint32(o.n), o.n >= 40
	}
	if o.which >= 8 {
		t.Meta = map[string]string{"task": string(t.Payload), "": ""}
	}
	t.Retention = []time.Duration{0, times(7, r), time.Hour, time.Hour}[o.which%4]
	t.DeadFor = []time.Duration{0, times(13, r), time.Hour}[o.which/4%3]
	if ruled {
		o.rule(t, r)
	}
	return t
}

// settlement returns the settlement that the operation draws, and its description for the history.
func (o op) settlement(m *minion, d *broker.Delivery) (broker.Settlement, string) {
	word := opSettles[o.n%len(opSettles)]
	delay := time.Duration(0)
	if o.delay > 0 {
		delay = times(2*o.delay+1, m.r)
	}
	switch word {
	case "retry":
		if o.which%3 == 0 {
			return retry(d, delay), fmt.Sprintf("retry in %v", delay)
		}
		return m.failing(d, delay), fmt.Sprintf("retry in %v, with an error", delay)
	case "snooze":
		return snooze(d, delay), fmt.Sprintf("snooze for %v", delay)
	case "give back":
		return giveBack(d), word
	}
	return m.finish(d, finals[o.n%len(opSettles)]), word
}

// account is the history of a run in words.
type account struct{ lines []string }

func (a *account) add(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf("%3d. ", len(a.lines)+1)+fmt.Sprintf(format, args...))
}

// more adds to the last line.
func (a *account) more(format string, args ...any) {
	a.lines[len(a.lines)-1] += fmt.Sprintf(format, args...)
}

func (a *account) String() string { return strings.Join(a.lines, "\n") }
