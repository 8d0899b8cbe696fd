package brokertest

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A delivery equals the enqueued task.
var deliveryTests = []test{
	{"EveryField", deliveryEveryField, 0},
	{"ExtremeFields", deliveryExtremeFields, 0},
	{"EmptyPayload", deliveryEmptyPayload, 0},
	{"AllBytesInPayload", deliveryAllBytes, 0},
	{"LargestPayload", deliveryLargestPayload, 0},
	{"UnicodeMetadata", deliveryUnicode, 0},
	{"SameAtEveryAttempt", deliverySameAtEveryAttempt, needLapse},
	{"FirstAttempt", deliveryFirstAttempt, 0},
	{"NoDeadline", deliveryNoDeadline, 0},
	{"TimeLeft", deliveryTimeLeft, 0},
	{"TimeLeftIsOverall", deliveryTimeLeftIsOverall, needLapse},
	{"LongDeadline", deliveryLongDeadline, needJump},
	{"BelongsToTheCaller", deliveryBelongsToCaller, 0},
}

// full returns a task whose every field is set, but Delay and Lane.
func full(r *rig) *broker.Task {
	return r.task(func(t *broker.Task) {
		t.Name = "pkg.Type.Method"
		t.Codec = "json+zstd"
		t.Payload = []byte(`{"x":1}`)
		t.Inbox = broker.NewID(broker.KindParty, "", 0)
		t.Deadline = time.Hour
		t.Timeout = 1500 * time.Millisecond
		t.Retries = 7
		t.Retention = 90 * time.Minute
		t.DeadFor = 3 * 24 * time.Hour
		t.Unique.Key = "key of " + t.Queue
		t.Meta = map[string]string{"traceparent": "00-1", "empty": "", "": "no key"}
		t.Parent = broker.NewID(broker.KindTask, "parent", 3)
		t.Flow.ID = broker.NewID(broker.KindGroup, "", 0)
		t.Flow.Step = 4
		t.Flow.Upstream = "sum"
		t.Schema = 0x0123456789abcdef
		t.Slots = 4
	})
}

// delivers enqueues a task, takes it and compares both.
func (m *minion) delivers(task *broker.Task) *broker.Delivery {
	m.r.Helper()
	m.r.enqueue(task)
	d := m.take1()
	m.equals(d, task)
	return d
}

// equals checks that a delivery equals the enqueued task.
func (m *minion) equals(d *broker.Delivery, task *broker.Task) {
	m.r.Helper()
	if d.Err != nil {
		m.r.Fatalf("the broker could not read the record of a valid task: %v", d.Err)
	}
	if diff := diffTask(d.Task, *task); diff != "" {
		m.r.Fatalf("the delivered task differs from the enqueued one: %s", diff)
	}
}

func deliveryEveryField(r *rig) {
	m := r.minion()
	whole := full(r)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[broker.Task]()) {
		// A delivery has no Delay and is not Bounded, and a Lane is for brokers that can have one.
		if reflect.ValueOf(whole).Elem().FieldByIndex(f.Index).IsZero() && f.Name != "Delay" && f.Name != "Bounded" && f.Name != "Lane" {
			r.Fatalf("this test does not set the field %s of a task: add it to full", f.Name)
		}
	}
	m.delivers(whole)
	m.delivers(r.task(func(t *broker.Task) { // a task with as few fields as possible
		*t = broker.Task{Name: "n", Queue: "q", Codec: "msgpack", ID: broker.NewID(broker.KindTask, "q", 0)}
	}))
	for _, set := range []func(t *broker.Task){ // the encoding may leave empty fields at the end out
		func(t *broker.Task) { t.Retention, t.DeadFor = 0, 0 },
		func(t *broker.Task) { t.Retention, t.DeadFor = broker.DefaultRetention, broker.DefaultDeadRetention },
		func(t *broker.Task) { t.Retries = broker.DefaultRetries },
		func(t *broker.Task) { t.Timeout = time.Microsecond },
		func(t *broker.Task) { t.Timeout = broker.NoTimeout },
		func(t *broker.Task) { t.Meta = map[string]string{"k": "v"} },
		func(t *broker.Task) { t.Flow.ID = broker.NewID(broker.KindPipe, "", 9) },
		func(t *broker.Task) { t.Flow.Step = 1 },
		func(t *broker.Task) { t.Schema = 1 },
		func(t *broker.Task) { t.Flow.Upstream = "x" },
		func(t *broker.Task) { t.Slots = 1 },
		func(t *broker.Task) { t.Enqueued = time.Time{} },
	} {
		m.delivers(r.task(set))
	}
}

func deliveryExtremeFields(r *rig) {
	m := r.minion("q", strings.Repeat("Q", broker.MaxName))
	for _, set := range []func(t *broker.Task){
		func(t *broker.Task) { t.Name = strings.Repeat("n", broker.MaxName) },
		func(t *broker.Task) { t.Queue = strings.Repeat("Q", broker.MaxName) },
		func(t *broker.Task) { t.Codec = strings.Repeat("c", 32) },
		func(t *broker.Task) { t.Retries = broker.MaxRetries },
		func(t *broker.Task) { t.Retries = 0 },
		func(t *broker.Task) { t.Timeout = broker.MaxDuration },
		func(t *broker.Task) { t.Retention, t.DeadFor = broker.MaxDuration, broker.MaxDuration },
		func(t *broker.Task) { t.Retention, t.DeadFor = time.Millisecond, time.Millisecond },
		func(t *broker.Task) { t.Flow.Step = math.MaxUint32 },
		func(t *broker.Task) { t.Schema = math.MaxUint64 },
		func(t *broker.Task) { t.Slots = broker.MaxSlots },
		func(t *broker.Task) { t.Deadline = broker.MaxDuration },
		func(t *broker.Task) { t.Enqueued = time.UnixMilli(1).UTC() },
	} {
		m.delivers(r.task(set))
	}
}

func deliveryEmptyPayload(r *rig) {
	m := r.minion()
	m.delivers(r.task(payload(nil)))
	m.delivers(r.task(payload([]byte{})))
}

func deliveryAllBytes(r *rig) {
	m := r.minion()
	all := make([]byte, 0, 1024)
	for i := range 256 {
		m.delivers(r.task(payload([]byte{byte(i)})))
		all = append(all, byte(i), byte(255-i), 0, '\n')
	}
	m.delivers(r.task(payload(all)))
}

func deliveryLargestPayload(r *rig) {
	b := make([]byte, r.Broker.Limits().Payload)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	r.minion().delivers(r.task(payload(b)))
}

func deliveryUnicode(r *rig) {
	r.minion().delivers(r.task(func(t *broker.Task) {
		t.Meta = map[string]string{
			"ключ": "значение", "鍵": "値", "emoji": "🦔\u200d🔥", "nul": "a\x00b",
			"raw": "\xff\xfe", "lines": "a\r\nb", "long": strings.Repeat("ü", 1000),
		}
		t.Unique.Key = "единственный"
		t.Payload = []byte("жизнь")
	}))
}

func deliverySameAtEveryAttempt(r *rig) {
	dying, m := r.minion(), r.minion()
	task := full(r)
	d := m.delivers(task)
	for _, settle := range []broker.Settlement{retry(d, 0), giveBack(d), snooze(d, 10*time.Millisecond)} {
		settle.Delivery = d
		m.settle(settle)
		d = m.take1()
		m.equals(d, task)
	}
	m.settle(giveBack(d))
	m.equals(dying.take1(), task)
	r.reap([]*minion{m}, dying)
	m.equals(m.take1(), task)
}

func deliveryFirstAttempt(r *rig) {
	m := r.minion()
	r.enqueue(r.task(), r.task(after(20*time.Millisecond)))
	for _, d := range m.take(2) {
		r.attempt(d, 1, 0, 0)
		if d.Canceled || d.Err != nil {
			r.Fatalf("the first delivery of a task has Canceled %v and Err %v", d.Canceled, d.Err)
		}
	}
}

func deliveryNoDeadline(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	if d.Left != broker.NoDeadline {
		r.Fatalf("Left is %v, want NoDeadline", d.Left)
	}
	m.settle(retry(d, 10*time.Millisecond))
	if d = m.take1(); d.Left != broker.NoDeadline {
		r.Fatalf("Left is %v for the second attempt, want NoDeadline", d.Left)
	}
}

// left checks Left of a task that was handed out just now. The task was enqueued at start, by the
// broker's clock, with that deadline.
func (r *rig) left(d *broker.Delivery, deadline time.Duration, start time.Time) {
	r.Helper()
	want := deadline - r.Now().Sub(start)
	if off := d.Left - want; off < -r.Slack || off > r.Slack+r.prompt() {
		r.Fatalf("Left is %v, want %v", d.Left, want)
	}
}

func deliveryTimeLeft(r *rig) {
	m := r.minion()
	for _, deadline := range []time.Duration{5 * time.Second, time.Hour, 1000 * 24 * time.Hour} {
		start := r.Now()
		r.enqueue(r.task(within(deadline)))
		r.left(m.take1(), deadline, start)
	}
	// The deadline counts from the enqueue, not from when the task becomes due.
	start := r.Now()
	r.enqueue(r.task(within(time.Minute), after(300*time.Millisecond)))
	r.left(m.take1(), time.Minute, start)
}

// A retry or recovery does not extend the deadline.
func deliveryTimeLeftIsOverall(r *rig) {
	m, dying := r.minion(), r.minion()
	start := r.Now()
	r.enqueue(r.task(within(time.Minute)))
	d := m.take1()
	for range 2 {
		m.settle(retry(d, 150*time.Millisecond))
		d = m.take1()
		r.left(d, time.Minute, start)
	}
	m.settle(giveBack(d))
	dying.take1()
	r.reap([]*minion{m}, dying)
	r.left(m.take1(), time.Minute, start)
}

func deliveryLongDeadline(r *rig) {
	start := r.Now()
	r.enqueue(r.task(within(48*time.Hour)), r.task(within(36*time.Hour)))
	r.Advance(24 * time.Hour)
	ds := r.minion().take(2)
	r.left(ds[0], 48*time.Hour, start)
	r.left(ds[1], 36*time.Hour, start)
}

func deliveryBelongsToCaller(r *rig) {
	m := r.minion()
	task := full(r)
	d := m.delivers(task)
	for i := range d.Payload {
		d.Payload[i] = 'X'
	}
	for k := range d.Meta {
		d.Meta[k] = "changed"
	}
	d.Meta["more"] = "more"
	m.settle(giveBack(d))
	d = m.take1()
	if !bytes.Equal(d.Payload, task.Payload) {
		r.Fatalf("after a change to the delivery the stored payload is %q", d.Payload)
	}
	m.equals(d, task)
}
