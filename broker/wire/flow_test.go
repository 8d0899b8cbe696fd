package wire

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

func flows() map[string]*broker.Flow {
	group, pipe := fixedID(17), fixedID(81)
	group[6], pipe[6] = 0x70|byte(broker.KindGroup)<<2, 0x70|byte(broker.KindPipe)<<2
	return map[string]*broker.Flow{
		"flow_full": {
			ID: group, Size: 70_000, Quorum: 3, Callback: fixedID(33), Finalizer: fixedID(49), Group: pipe,
			Step: 70_001, Inbox: fixedID(65), Retention: 90 * time.Second,
		},
		"flow_sealed": {ID: pipe, Size: 1, Quorum: 1, Retention: broker.DefaultRetention, Seal: "a\x00\xff"},
		"flow_small":  {ID: pipe, Size: 1, Quorum: 1, Retention: broker.DefaultRetention},
	}
}

// blockedTask returns a task with all fields that flows use.
func blockedTask() *broker.Task {
	t := smallTask()
	t.Flow.Blocked, t.Flow.ID, t.Flow.Step, t.Flow.Upstream = true, fixedID(97), broker.StepCallback, "x"
	return t
}

func submitted() *broker.Task {
	t := fullTask()
	t.Queue, t.Delay, t.Deadline = "other", 1500*time.Millisecond, time.Hour
	return t
}

func TestGoldenFlows(t *testing.T) {
	for name, f := range flows() {
		got, err := ParseFlow(golden(t, name, AppendFlow(nil, f)))
		if err != nil || got != *f {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, *f)
		}
	}
	task := submitted()
	got, err := ParseSubmit(golden(t, "submit", AppendSubmit(nil, task)))
	if err != nil || !reflect.DeepEqual(got, task) {
		t.Errorf("submission:\n got %+v, %v\nwant %+v", got, err, *task)
	}
	task = blockedTask()
	var d broker.Delivery
	if err := ParseRecord(&d, golden(t, "task_blocked", AppendRecord(nil, task)), 0); err != nil {
		t.Fatal(err)
	}
	d.Queue = task.Queue
	if !reflect.DeepEqual(&d.Task, task) {
		t.Errorf("blocked task:\n got %+v\nwant %+v", d.Task, *task)
	}
	id, step, err := ParseFlowRef(append(golden(t, "flow_ref", AppendFlowRef(nil, task)), 1, 2))
	if err != nil || id != task.Flow.ID || step != task.Flow.Step {
		t.Errorf("flow and position: %s, %d, %v", id, step, err)
	}
}

func TestBrokenFlows(t *testing.T) {
	parsers := map[string]func([]byte) error{
		"submit": func(b []byte) error { _, err := ParseSubmit(b); return err },
	}
	records := map[string][]byte{"submit": AppendSubmit(nil, submitted())}
	for name, f := range flows() {
		records[name] = AppendFlow(nil, f)
		parsers[name] = func(b []byte) error { _, err := ParseFlow(b); return err }
	}
	for name, record := range records {
		parse := parsers[name]
		for n := range record {
			if err := parse(record[:n]); !errors.Is(err, broker.ErrMalformed) {
				t.Errorf("%s cut after %d bytes: %v", name, n, err)
			}
		}
		if err := parse(append(slices.Clip(record), 0)); !errors.Is(err, broker.ErrMalformed) {
			t.Errorf("%s with a trailing byte: %v", name, err)
		}
		record[0]++
		if err := parse(record); !errors.Is(err, broker.ErrVersion) {
			t.Errorf("%s of a newer version: %v", name, err)
		}
	}
	ref := AppendFlowRef(nil, blockedTask())
	if len(ref) != FlowRefSize {
		t.Errorf("a flow and position have %d bytes, want %d", len(ref), FlowRefSize)
	}
	for n := range ref {
		if _, _, err := ParseFlowRef(ref[:n]); !errors.Is(err, broker.ErrMalformed) {
			t.Errorf("flow and position cut after %d bytes: %v", n, err)
		}
	}
	for name, change := range map[string]func(*broker.Flow){
		"id":              func(f *broker.Flow) { f.ID = broker.NewID(broker.KindTask, "", 0) },
		"fewer than none": func(f *broker.Flow) { f.Size, f.Quorum = -1, -1 },
		"too large":       func(f *broker.Flow) { f.Size = broker.MaxMembers + 1 },
		"quorum":          func(f *broker.Flow) { f.Quorum = f.Size + 1 },
		"pipe":            func(f *broker.Flow) { f.ID = broker.NewID(broker.KindPipe, "", 0) },
		"retention":       func(f *broker.Flow) { f.Retention = broker.MaxDuration + time.Hour },
	} {
		f := *flows()["flow_full"]
		change(&f)
		if err := f.Check(); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ParseFlow(AppendFlow(nil, &f)); !errors.Is(err, broker.ErrMalformed) {
			t.Errorf("record of a flow, %s: %v", name, err)
		}
	}
}

// A duration that is not 0 is never read as 0, which would mean at once or never. A delay
// is rounded up and a deadline is rounded down, so a task starts neither too early nor too
// late.
func TestSubmitTimes(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct{ time, delay, deadline time.Duration }{
		{0, 0, 0}, {1, ms, -ms}, {-1, -ms, -ms}, {ms - 1, ms, -ms},
		{ms, ms, ms}, {ms + 1, 2 * ms, ms}, {2*ms - 1, 2 * ms, ms},
		{-ms, -ms, -ms}, {-ms - 1, -2 * ms, -ms},
		{broker.MaxDuration, broker.MaxDuration, broker.MaxDuration},
	} {
		task := submitted()
		task.Delay, task.Deadline = tt.time, tt.time
		got, err := ParseSubmit(AppendSubmit(nil, task))
		if err != nil || got.Delay != tt.delay || got.Deadline != tt.deadline {
			t.Errorf("%d became %v and %v (%v), want %v and %v", tt.time, got.Delay, got.Deadline, err, tt.delay, tt.deadline)
		}
	}
	task := submitted()
	task.Delay = broker.MaxDuration + time.Millisecond
	if _, err := ParseSubmit(AppendSubmit(nil, task)); !errors.Is(err, broker.ErrMalformed) {
		t.Errorf("a delay over the limit: %v", err)
	}
}

func FuzzParseFlow(f *testing.F) {
	for _, flow := range flows() {
		f.Add(AppendFlow(nil, flow))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		flow, err := ParseFlow(data)
		if err != nil {
			if !errors.Is(err, broker.ErrMalformed) && !errors.Is(err, broker.ErrVersion) {
				t.Errorf("an error that is neither: %v", err)
			}
			return
		}
		again, err := ParseFlow(AppendFlow(nil, &flow))
		if err != nil || again != flow {
			t.Errorf("%+v, written and read again, is %+v, %v", flow, again, err)
		}
	})
}

func FuzzParseSubmit(f *testing.F) {
	f.Add(AppendSubmit(nil, submitted()))
	f.Add(AppendSubmit(nil, blockedTask()))
	f.Fuzz(func(t *testing.T, data []byte) {
		task, err := ParseSubmit(data)
		if err != nil {
			if !errors.Is(err, broker.ErrMalformed) && !errors.Is(err, broker.ErrVersion) {
				t.Errorf("an error that is neither: %v", err)
			}
			return
		}
		again, err := ParseSubmit(AppendSubmit(nil, task))
		if err != nil || again.ID != task.ID || again.Queue != task.Queue || again.Delay != task.Delay || again.Deadline != task.Deadline {
			t.Errorf("%+v, written and read again, is %+v, %v", task, again, err)
		}
	})
}
