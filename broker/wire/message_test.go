package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var update = flag.Bool("update", false, "write golden files of records that do not exist yet")

func fixedID(fill byte) (id broker.ID) {
	for i := range id {
		id[i] = fill + byte(i)
	}
	return id
}

func fullTask() *broker.Task {
	return &broker.Task{
		ID: fixedID(1), Name: "simple_add", Queue: "q", Codec: "json", Payload: []byte(`{"x":1}`),
		Inbox: fixedID(33), Timeout: 1500 * time.Microsecond, Retries: 7, Retention: 90 * time.Second, DeadFor: time.Hour,
		Unique: broker.Unique{Key: "only one"}, Meta: map[string]string{"b": "2", "a": "1"}, Parent: fixedID(65),
		Flow: broker.TaskFlow{ID: fixedID(97), Step: 70000}, Schema: 1 << 63, Enqueued: time.UnixMilli(1_700_000_000_123).UTC(),
	}
}

func smallTask() *broker.Task {
	return &broker.Task{
		ID: fixedID(1), Name: "t", Queue: "q", Codec: "msgpack", Payload: []byte{0x90}, Retries: broker.DefaultRetries,
		Retention: broker.DefaultRetention, DeadFor: broker.DefaultDeadRetention,
	}
}

func heavyTask() *broker.Task {
	t := smallTask()
	t.Slots = 4
	return t
}

func squadTask() *broker.Task {
	t := smallTask()
	t.Flow.ID, t.Flow.Blocked, t.Flow.Squad = fixedID(97), true, true
	return t
}

func lanedTask() *broker.Task {
	t := smallTask()
	t.Lane = &broker.Lane{
		Priority: 9, Key: "tenant 1", Sequence: "order 7", StopOnFailure: true,
		Limits: []broker.Charge{{Limit: "render", Cost: 1}, {Limit: "mail", Key: "tenant 1", Cost: 70000}},
	}
	return t
}

func replacingTask() *broker.Task {
	t := smallTask()
	t.Unique = broker.Unique{Key: "t/k", For: 1500 * time.Millisecond, UntilStart: true, OnConflict: broker.ConflictReplace, MaxAge: time.Minute}
	return t
}

func outcomes() map[string]*broker.Outcome {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	return map[string]*broker.Outcome{
		"outcome_succeeded": {
			State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{3}, Name: "simple_add", Attempts: 2, Retried: 1,
			Minion: fixedID(9), Enqueued: at, Started: at.Add(time.Second), Finished: at.Add(2 * time.Second),
		},
		"outcome_failed": {
			State: broker.StateFailed, Codec: "json", Name: "t", Attempts: 1, Err: &broker.Failure{
				Type: "*fs.PathError", Message: "no", Stack: "here", Chain: []string{"a", "b"}, Codes: []string{"c"}, Final: true,
			},
		},
		"outcome_sealed":   {State: broker.StateFailed, Codec: "a", Name: "t", Err: &broker.Failure{Message: "no", Seal: []byte{2, 255}}},
		"outcome_replaced": {State: broker.StateCanceled, Codec: "msgpack", Finished: at, ReplacedBy: fixedID(17)},
	}
}

// golden compares a record with the golden file that an older version wrote. Every version
// must be able to read that file, so golden returns its content.
func golden(t *testing.T, name string, record []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if _, err := os.Stat(path); err != nil {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(record)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(record) {
		t.Errorf("%s: the record is written differently from its golden file:\n%x\n%x", name, record, want)
	}
	return want
}

func TestGoldenRecords(t *testing.T) {
	for name, task := range map[string]*broker.Task{"task_full": fullTask(), "task_small": smallTask(), "task_squad": squadTask(), "task_laned": lanedTask(), "task_replacing": replacingTask(), "task_heavy": heavyTask()} {
		data := golden(t, name, AppendRecord(nil, task))
		var d broker.Delivery
		if err := ParseRecord(&d, data, 0); err != nil {
			t.Fatal(err)
		}
		d.Queue = task.Queue // the queue is not in the record
		if !reflect.DeepEqual(&d.Task, task) || d.Attempt != 1 || d.Left != broker.NoDeadline {
			t.Errorf("%s:\n got %+v\nwant %+v", name, d.Task, *task)
		}
	}
	// Version 1 had a head of 51 bytes.
	text, err := os.ReadFile(filepath.Join("testdata", "task_small_v1.hex"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := ParseRecord(new(broker.Delivery), old, 0); !errors.Is(err, broker.ErrVersion) {
		t.Errorf("a message of version 1: %v, want one that wraps ErrVersion", err)
	}
	for name, o := range outcomes() {
		got, err := ParseOutcome(golden(t, name, AppendOutcome(nil, o)))
		if err != nil || !reflect.DeepEqual(&got, o) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, *o)
		}
	}
}

// notInMessages has the fields of a task that its message does not have, and why.
var notInMessages = map[string]string{
	"Queue":    "a message is stored under its queue",
	"Delay":    "the store makes a due time of it",
	"Deadline": "the store makes a point in time of it, in the head",
	"Bounded":  "it is for the step that stores the task",
}

// TestEveryFieldIsInTheMessage sets one field of a task after the other: a message keeps it. A new field
// must either be in the message, or in the table with a reason. docs/wire.md lists the fields of the body.
func TestEveryFieldIsInTheMessage(t *testing.T) {
	fields := 0 // of the longest body
	for _, f := range reflect.VisibleFields(reflect.TypeFor[broker.Task]()) {
		inner := []reflect.StructField{f}
		if f.Type == reflect.TypeFor[broker.TaskFlow]() || f.Type == reflect.TypeFor[broker.Unique]() {
			inner = reflect.VisibleFields(f.Type)
		}
		for _, in := range inner {
			want := smallTask()
			want.Queue = ""
			field, name := reflect.ValueOf(want).Elem().FieldByIndex(f.Index), f.Name
			if in.Name != f.Name {
				want.Unique.Key = "t/k" // the other fields of a unique key are nothing without it
				field, name = field.FieldByIndex(in.Index), f.Name+"."+in.Name
			}
			change(t, field)
			var got broker.Delivery
			record := AppendRecord(nil, want)
			if err := ParseRecord(&got, record, 0); err != nil {
				t.Fatal(name, err)
			}
			if n, _, err := takeFields(record[HeadSize:], 0); err == nil && record[0] == PlainVersion {
				fields = max(fields, n)
			}
			kept := reflect.DeepEqual(&got.Task, want)
			if why, left := notInMessages[name]; kept == left {
				t.Errorf("a message keeps %s: %v; said to be left out: %q\n got %+v\nwant %+v", name, kept, why, got.Task, *want)
			}
		}
	}
	page, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "\nThe body is a msgpack array")
	list, _, _ = strings.Cut(list, "\nThe unique key is stored")
	if n := len(regexp.MustCompile(`(?m)^\d+\. `).FindAllString(list, -1)); n != fields {
		t.Errorf("docs/wire.md lists %d fields of a body, want %d", n, fields)
	}
}

// change gives a field of a task another value.
func change(t *testing.T, field reflect.Value) {
	t.Helper()
	switch v := field.Addr().Interface().(type) {
	case *time.Time:
		*v = time.UnixMilli(1_700_000_000_123).UTC()
	case *time.Duration:
		*v += time.Second
	case *broker.ID:
		*v = fixedID(3)
	case *string:
		*v += "x"
	case *[]byte:
		*v = []byte("x")
	case *map[string]string:
		*v = map[string]string{"k": "v"}
	case **broker.Lane:
		*v = lanedTask().Lane
	case *bool:
		*v = !*v
	default:
		switch {
		case field.CanInt():
			field.SetInt(field.Int() + 1)
		case field.CanUint():
			field.SetUint(field.Uint() + 1)
		default:
			t.Fatalf("a field is a %s: let this test change it", field.Type())
		}
	}
}

func TestBrokenRecords(t *testing.T) {
	for _, task := range []*broker.Task{fullTask(), lanedTask()} {
		record := AppendRecord(nil, task)
		for n := range record {
			var d broker.Delivery
			if err := ParseRecord(&d, record[:n], 0); !errors.Is(err, broker.ErrMalformed) {
				t.Errorf("cut after %d bytes: %v", n, err)
			} else if (n >= HeadSize) != (d.ID == fixedID(1)) {
				t.Errorf("cut after %d bytes: id %v", n, d.ID)
			}
		}
	}
	record := AppendRecord(nil, fullTask())
	var d broker.Delivery
	if err := ParseRecord(&d, append(slices.Clip(record), 0), 0); !errors.Is(err, broker.ErrMalformed) {
		t.Errorf("trailing byte: %v", err)
	}
	record[0] = MessageVersion + 1
	d = broker.Delivery{}
	if err := ParseRecord(&d, record, 0); !errors.Is(err, broker.ErrVersion) || d.ID != fixedID(1) || d.Version != MessageVersion+1 || d.Attempt != 1 {
		t.Errorf("newer version: %+v, %v", d, err)
	}
	for _, version := range []byte{0, 1, MaxMessageVersion + 1, 255} {
		record[0], d = version, broker.Delivery{}
		if err := ParseRecord(&d, record, 0); !errors.Is(err, broker.ErrVersion) || !d.ID.IsZero() || d.Version != 0 {
			t.Errorf("version %d: %+v, %v", version, d, err)
		}
	}
	for name, o := range outcomes() {
		data := AppendOutcome(nil, o)
		for n := range data {
			if _, err := ParseOutcome(data[:n]); !errors.Is(err, broker.ErrMalformed) {
				t.Errorf("%s cut after %d bytes: %v", name, n, err)
			}
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(AppendRecord(nil, fullTask()))
	f.Add(AppendRecord(nil, smallTask()))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d broker.Delivery
		if err := ParseRecord(&d, data, 1); err != nil {
			if !errors.Is(err, broker.ErrMalformed) && !errors.Is(err, broker.ErrVersion) {
				t.Errorf("an error that is neither: %v", err)
			}
			return
		}
		_ = AppendRecord(nil, &d.Task)
	})
}

func FuzzParseOutcome(f *testing.F) {
	for _, o := range outcomes() {
		f.Add(AppendOutcome(nil, o))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseOutcome(data)
		if err != nil {
			return
		}
		again, err := ParseOutcome(AppendOutcome(nil, &o))
		if err != nil || again.State != o.State || again.Name != o.Name {
			t.Errorf("%+v, written and read again, is %+v, %v", o, again, err)
		}
	})
}

// A call is split by the sizes of its tasks, so these count all of a lane.
func TestSizeCountsTheLane(t *testing.T) {
	x := broker.Task{ID: fixedID(1), Name: "n", Queue: "q", Codec: "json"}
	x.Lane = &broker.Lane{Key: strings.Repeat("k", broker.MaxLaneKey), Sequence: strings.Repeat("s", broker.MaxLaneKey)}
	for i := range broker.MaxCharges {
		x.Lane.Limits = append(x.Lane.Limits, broker.Charge{Limit: strings.Repeat("l", broker.MaxName), Key: strings.Repeat(string(rune('a'+i)), broker.MaxLaneKey), Cost: 1})
	}
	if size, record := x.Size(), len(AppendRecord(nil, &x)); size < record {
		t.Errorf("the size of a task is given as %d, and its record has %d bytes", size, record)
	}
}

// AdoptRecord reads the same as ParseRecord, and does not copy the payload.
func TestAdoptRecord(t *testing.T) {
	task := &broker.Task{ID: fixedID(1), Name: "blob", Payload: []byte("payload"), Unique: broker.Unique{Key: "k"}, Retries: 3}
	record := AppendRecord(nil, task)
	var copied, adopted broker.Delivery
	if err := errors.Join(ParseRecord(&copied, record, 5), AdoptRecord(&adopted, record, 5)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(copied, adopted) {
		t.Errorf("%+v, want %+v", adopted, copied)
	}
	copy(record[bytes.Index(record, task.Payload):], "changed")
	if string(adopted.Payload) != "changed" || string(copied.Payload) != "payload" {
		t.Errorf("payloads %q and %q", adopted.Payload, copied.Payload)
	}
	for n := range record {
		if ParseRecord(new(broker.Delivery), record[:n], 0) == nil || AdoptRecord(new(broker.Delivery), record[:n], 0) == nil {
			t.Errorf("the first %d bytes are read as a record", n)
		}
	}
}
