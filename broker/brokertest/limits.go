package brokertest

import (
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Every size and name has a limit. A value above the limit is refused with an error that names the
// limit.
var limitTests = []test{
	{"AreSet", limitsAreSet, 0},
	{"Payload", limitsPayload, 0},
	{"Metadata", limitsMeta, 0},
	{"UniqueKey", limitsUnique, 0},
	{"Result", limitsResult, 0},
	{"ErrorTextsAreCut", limitsErrorTexts, 0},
	{"Names", limitsNames, 0},
	{"Numbers", limitsNumbers, 0},
	{"Consume", limitsConsume, 0},
}

func limitsAreSet(r *rig) {
	if l := r.Broker.Limits(); l.Payload <= 0 || l.Result <= 0 || l.Meta <= 0 {
		r.Fatalf("%+v", l)
	}
}

// over checks that a task above a limit is refused as too large with an error that names the limit,
// and that a task within the limit is delivered.
func over(r *rig, limit string, within, beyond func(*broker.Task)) {
	r.Helper()
	m := r.minion()
	task := r.task(beyond)
	err := r.refused(task)
	r.is(err, broker.ErrTooLarge)
	r.is(err, broker.ErrInvalid)
	if !strings.Contains(err.Error(), limit) || !strings.Contains(err.Error(), task.Name) {
		r.Fatalf("the error is %q, want one that names the limit %s and the task %s", err, limit, task.Name)
	}
	r.in(broker.StateUnknown, task.ID)
	m.none()
	m.delivers(r.task(within))
}

func limitsPayload(r *rig) {
	limit := r.Broker.Limits().Payload
	over(r, itoa(limit), payload(make([]byte, limit)), payload(make([]byte, limit+1)))
}

func limitsMeta(r *rig) {
	limit := r.Broker.Limits().Meta
	meta := func(size int) func(*broker.Task) {
		return func(t *broker.Task) {
			t.Meta = map[string]string{"abc": strings.Repeat("v", size-7), "": "half"}
		}
	}
	over(r, itoa(limit), meta(limit), meta(limit+1))
}

func limitsUnique(r *rig) {
	key := strings.Repeat("k", broker.MaxScopedKey)
	over(r, itoa(broker.MaxScopedKey), keyed(key), keyed(key+"k"))
}

func limitsResult(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	limit := r.Broker.Limits().Result
	s := m.succeed(d)
	s.Outcome.Result = make([]byte, limit+1)
	err := m.settled(s)[0]
	r.is(err, broker.ErrTooLarge)
	if !strings.Contains(err.Error(), itoa(limit)) || !strings.Contains(err.Error(), task.Name) {
		r.Fatalf("the error is %q, want one that names the limit and the task", err)
	}
	s.Outcome.Result = make([]byte, limit)
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
}

// The text of an error that is too long is cut, not refused, because the task has ended.
func limitsErrorTexts(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	s := m.finish(m.take1(), broker.StateFailed)
	s.Outcome.Err.Message = strings.Repeat("messagé ", broker.MaxMessage/8)
	s.Outcome.Err.Stack = strings.Repeat("stäck\n", broker.MaxStack/6)
	m.settle(s)
	for _, o := range []broker.Outcome{r.outcome(task.ID), mail.take(1)[0].Outcome} {
		for _, text := range []struct {
			got, whole string
			limit      int
		}{
			{o.Err.Message, s.Outcome.Err.Message, broker.MaxMessage},
			{o.Err.Stack, s.Outcome.Err.Stack, broker.MaxStack},
		} {
			if len(text.got) > text.limit || len(text.got) < text.limit-64 || text.got[:100] != text.whole[:100] {
				r.Fatalf("a text of %d bytes was cut to %d bytes, the limit is %d", len(text.whole), len(text.got), text.limit)
			}
		}
	}
}

var badNames = []string{
	"", " ", "a b", "a/b", "a:b", "{a}", "a\n", "ä", "a*", "\x00", strings.Repeat("n", broker.MaxName+1),
}

func limitsNames(r *rig) {
	for _, name := range badNames {
		r.is(r.refused(r.task(onQueue(name))), broker.ErrInvalid)
		r.is(r.refused(r.task(func(t *broker.Task) { t.Name = name })), broker.ErrInvalid)
	}
}

func limitsNumbers(r *rig) {
	for _, bad := range []func(t *broker.Task){
		func(t *broker.Task) { t.Codec = strings.Repeat("c", 33) },
		func(t *broker.Task) { t.Retries = broker.MaxRetries + 1 },
		func(t *broker.Task) { t.Retries = broker.DefaultRetries - 1 },
		func(t *broker.Task) { t.Delay = broker.MaxDuration + 1 },
		func(t *broker.Task) { t.Deadline = broker.MaxDuration + 1 },
		func(t *broker.Task) { t.Timeout = broker.MaxDuration + 1 },
		func(t *broker.Task) { t.Timeout = broker.NoTimeout - 1 },
		func(t *broker.Task) { t.Retention = broker.MaxDuration + 1 },
		func(t *broker.Task) { t.Retention = -time.Nanosecond },
		func(t *broker.Task) { t.DeadFor = broker.MaxDuration + 1 },
		func(t *broker.Task) { t.DeadFor = -1 },
		func(t *broker.Task) { t.Slots = broker.MaxSlots + 1 },
	} {
		r.is(r.refused(r.task(bad)), broker.ErrInvalid)
	}
	zero := r.task()
	zero.ID = broker.ID{}
	r.is(r.refused(zero), broker.ErrInvalid)
	r.minion().none()
}

func limitsConsume(r *rig) {
	for _, queues := range [][]string{nil, {""}, {"q", "no spaces"}, {strings.Repeat("q", broker.MaxName+1)}} {
		c, err := r.Broker.Consume(r.ctx, broker.ConsumerConfig{Queues: queues, Slots: 1})
		if c != nil && err == nil {
			r.Fatalf("Consume of %q succeeded", queues)
		}
		r.is(err, broker.ErrInvalid)
	}
	for _, slots := range []int{0, -1} {
		_, err := r.Broker.Consume(r.ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: slots})
		r.is(err, broker.ErrInvalid)
	}
	if n := len(r.registry(r.Broker)); n != 0 {
		r.Fatalf("after refused calls of Consume %d minions are registered, want none", n)
	}
}
