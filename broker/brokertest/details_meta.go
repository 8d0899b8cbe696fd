package brokertest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Lookup returns the metadata of a task in every state, and its name if the broker knows it.
var metaTests = []test{
	{"MetaInEachState", metaInEachState, 0},
	{"MetaOfBlocked", metaOfBlocked, needFlows},
	{"MetaOfReleased", metaOfReleased, needFlows},
	{"MetaOfReleasedIsForgotten", metaOfReleasedEnds, needFlows | needJump},
	{"MetaOfRepeated", metaOfRepeated, 0},
	{"MetaOfLargeTasks", metaOfLargeTasks, 0},
	{"LargestMeta", metaLargest, 0},
	{"MetaOfMany", metaOfMany, 0},
	{"MetaIsACopy", metaIsACopy, 0},
	{"MetaAfterRequeue", metaAfterRequeue, needInspector},
	{"MetaEndsWithItsTask", metaEnds, needJump},
	{"NameInEachState", nameInEachState, 0},
}

func described(meta map[string]string) func(*broker.Task) {
	return func(t *broker.Task) { t.Meta = meta }
}

// checkDetails checks the metadata, the name and the last failure in a status.
func (t *mtask) checkDetails(st broker.Status) error {
	switch {
	case st.State == broker.StateUnknown:
		if st.Meta != nil || st.Failed != nil || st.Name != "" {
			return fmt.Errorf("Lookup of the unknown task %d returned %+v", t.n, st)
		}
		return nil
	case !maps.Equal(st.Meta, t.first.Meta):
		return fmt.Errorf("Lookup of task %d, which is %s, returned the metadata %v, want %v", t.n, st.State, st.Meta, t.first.Meta)
	case st.Name != "" && st.Name != t.Name:
		return fmt.Errorf("Lookup of task %d returned the name %q, want %q", t.n, st.Name, t.Name)
	}
	if diff := diffFailed(st.Failed, t.failed); diff != "" {
		return fmt.Errorf("Lookup of task %d, which is %s, returned a last failure that differs: %s", t.n, st.State, diff)
	}
	return nil
}

// metas checks that Lookup returns the metadata of the first enqueue of each task.
func (r *rig) metas(tasks ...*broker.Task) {
	r.Helper()
	for i, st := range r.lookup(idsOf(tasks)...) {
		if st.State == broker.StateUnknown {
			r.Fatalf("Lookup says that task %d is unknown", i)
		}
		if !maps.Equal(st.Meta, tasks[i].Meta) {
			r.Fatalf("Lookup of task %d, which is %s, returned the metadata %.200v, want %.200v", i, st.State, st.Meta, tasks[i].Meta)
		}
		if len(st.Meta) == 0 && st.Meta != nil {
			r.Fatalf("Lookup returned for task %d an empty map of metadata, want nil", i)
		}
	}
}

// ofAllKinds returns tasks that a broker may store in different ways, with metadata and without.
func (r *rig) ofAllKinds(with ...func(*broker.Task)) []*broker.Task {
	var tasks []*broker.Task
	for i, kind := range [][]func(*broker.Task){
		nil, {keyed("k")}, {within(time.Hour)}, {payload(bytes.Repeat([]byte{1}, 8<<10))}, nil,
	} {
		for n, meta := range []map[string]string{nil, {"trace": fmt.Sprint("00-", i)}, {}, {"": "", "a\x00": "\xff", "k": strings.Repeat("v", i)}} {
			t := r.task(append(append(kind, with...), described(meta))...)
			if t.Unique.Key != "" {
				t.Unique.Key += fmt.Sprint(n)
			}
			tasks = append(tasks, t)
		}
	}
	return tasks
}

func metaInEachState(r *rig) {
	m := r.minion()
	scheduled := r.ofAllKinds(after(time.Hour))
	for _, t := range scheduled {
		if t.Unique.Key != "" {
			t.Unique.Key += "later"
		}
	}
	r.enqueue(scheduled...)
	r.metas(scheduled...)
	tasks := r.ofAllKinds()
	r.enqueue(tasks...)
	r.metas(tasks...)
	r.enqueue(tasks...) // enqueueing them again has no effect
	ds := m.take(len(tasks))
	r.metas(tasks...)
	var batch []broker.Settlement
	for i, d := range ds {
		switch i % 3 {
		case 0:
			batch = append(batch, retry(d, time.Hour))
		case 1:
			batch = append(batch, giveBack(d))
		case 2:
			batch = append(batch, snooze(d, 0))
		}
	}
	m.settle(batch...)
	r.metas(tasks...)
	again := m.tryTake(len(tasks))
	if len(again) < len(tasks)/2 {
		r.Fatalf("%d tasks were handed out again", len(again))
	}
	r.metas(tasks...)
	batch = nil
	for i, d := range again[2:] {
		batch = append(batch, m.finish(d, finals[i%len(finals)]))
	}
	m.settle(batch...)
	r.cancel(idsOf(tasks)...)
	for _, d := range again[:2] { // these are marked as cancelled
		m.settle(retry(d, time.Hour))
	}
	r.metas(tasks...)
	r.cancel(idsOf(scheduled)...)
	r.in(broker.StateCanceled, idsOf(scheduled)...)
	r.metas(scheduled...)
}

func metaOfBlocked(r *rig) {
	m := r.minion()
	tasks := r.ofAllKinds(blocked)
	r.enqueue(tasks...)
	r.metas(tasks...)
	r.releases(tasks...)
	r.metas(tasks...)
	var batch []broker.Settlement
	for _, d := range m.take(len(tasks)) {
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	r.metas(tasks...)
}

// replacedMeta returns pairs of blocked tasks. The second one has other metadata than the first one,
// or has some where the first one has none, or none where the first one has some.
func (r *rig) replacedMeta(with ...func(*broker.Task)) (enqueued, released []*broker.Task) {
	metas := []map[string]string{nil, {"k": "1"}, {"k": "2"}, {"k": "1", "l": "3"}}
	for i, first := range metas {
		for j, second := range metas {
			if i == j {
				continue
			}
			task := r.task(append(with, blocked, described(first))...)
			whole := *task
			whole.Meta = second
			enqueued, released = append(enqueued, task), append(released, &whole)
		}
	}
	return enqueued, released
}

// A task is released with other metadata. Its consumers get that, and a status still shows the
// metadata of the enqueue, in every state.
func metaOfReleased(r *rig) {
	m := r.minion()
	enqueued, released := r.replacedMeta(kept(time.Hour, time.Hour))
	r.enqueue(enqueued...)
	r.releases(released...)
	r.metas(enqueued...)
	again := *released[0]
	again.Meta = map[string]string{"k": "is not blocked any more"}
	r.releases(&again)
	next := func(settle func(i int, d *broker.Delivery) broker.Settlement) {
		r.Helper()
		ds := m.take(len(released))
		r.metas(enqueued...)
		var batch []broker.Settlement
		for _, d := range ds {
			i := slices.IndexFunc(released, func(t *broker.Task) bool { return t.ID == d.ID })
			m.equals(d, released[i])
			batch = append(batch, settle(i, d))
		}
		m.settle(batch...)
		r.metas(enqueued...)
	}
	next(func(_ int, d *broker.Delivery) broker.Settlement { return retry(d, 0) })
	next(func(_ int, d *broker.Delivery) broker.Settlement { return giveBack(d) })
	next(func(i int, d *broker.Delivery) broker.Settlement { return m.finish(d, finals[i%len(finals)]) })
}

// The metadata of a task that was released with other metadata is forgotten with the task.
func metaOfReleasedEnds(r *rig) {
	m := r.minion()
	enqueued, released := r.replacedMeta(kept(0, 0))
	r.enqueue(enqueued...)
	r.releases(released...)
	var batch []broker.Settlement
	for _, d := range m.take(len(released)) {
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	ids := idsOf(enqueued)
	unknown := func() {
		r.Helper()
		for _, st := range r.lookup(ids...) {
			if st.State != broker.StateUnknown || st.Meta != nil {
				r.Fatalf("Lookup of a task that is not stored returned %+v", st)
			}
		}
	}
	unknown()
	m.close()
	r.Advance(broker.MinTombstone + 2*time.Minute)
	for range 3 { // before and after a client cleans up
		unknown()
		beat(r.minion())
	}
	for _, t := range enqueued { // the ids can be used again
		t.Meta, t.Flow.Blocked = nil, false
	}
	r.enqueue(enqueued...)
	r.metas(enqueued...)
}

// A task is enqueued again with other metadata. The first metadata stay, like every field that is
// not part of the digest.
func metaOfRepeated(r *rig) {
	for _, with := range [][]func(*broker.Task){nil, {after(time.Hour)}} {
		first, without := r.task(append(with, described(map[string]string{"k": "1"}))...), r.task(with...)
		r.enqueue(first, without)
		again, also := *first, *without
		again.Meta, also.Meta = map[string]string{"k": "2", "l": "3"}, map[string]string{"k": "4"}
		r.enqueue(&again, &also)
		r.metas(first, without)
		other, none := r.task(with...), *first
		other.Meta, none.Meta = map[string]string{"new": "yes"}, nil
		r.enqueue(&none, other) // a batch with a known and a new task
		r.metas(first, other)
	}
}

func metaOfLargeTasks(r *rig) {
	m := r.minion()
	tasks := r.batch(8, payload(bytes.Repeat([]byte{1}, 50<<10)))
	for i, t := range tasks {
		if t.Payload = append([]byte{byte(i)}, t.Payload...); i%2 == 0 {
			t.Meta = map[string]string{"n": fmt.Sprint(i)}
		}
	}
	r.enqueue(tasks...)
	r.metas(tasks...)
	var batch []broker.Settlement
	for _, d := range m.take(len(tasks)) {
		if st := r.lookup(d.ID)[0]; st.Name != "" && st.Name != d.Name {
			r.Fatalf("the name is %q, want %q", st.Name, d.Name)
		}
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	r.metas(tasks...)
}

func metaLargest(r *rig) {
	m := r.minion()
	tasks := r.batch(50)
	for i, t := range tasks {
		t.Meta = map[string]string{fmt.Sprintf("%02d", i): strings.Repeat("m", r.Broker.Limits().Meta-2)}
	}
	r.enqueue(tasks...)
	r.metas(tasks...)
	var batch []broker.Settlement
	for _, d := range m.take(len(tasks)) {
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	r.metas(tasks...)
}

func metaOfMany(r *rig) {
	m := r.minion()
	tasks := r.batch(broker.MaxBatch + 345)
	for i, t := range tasks {
		if i%3 > 0 {
			t.Meta = map[string]string{"n": fmt.Sprint(i)}
		}
	}
	r.enqueue(tasks...)
	r.metas(tasks...)
	var batch []broker.Settlement
	for i, d := range m.take(700) {
		if i%5 > 0 {
			batch = append(batch, m.succeed(d))
		}
	}
	m.settle(batch...)
	r.metas(tasks...)
	r.cancel(idsOf(tasks)...)
	r.metas(tasks...)
}

func metaIsACopy(r *rig) {
	m := r.minion()
	task := r.task(described(map[string]string{"k": "v"}))
	want := *task
	want.Meta = maps.Clone(task.Meta)
	spoil := func() {
		r.Helper()
		r.metas(&want) // so the stored task has a map
		r.lookup(task.ID)[0].Meta["k"] = "changed"
		r.metas(&want)
	}
	r.enqueue(task)
	task.Meta["k"] = "changed"
	spoil()
	d := m.take1()
	spoil()
	s := m.succeed(d)
	d.Meta["k"] = "changed"
	m.settle(s)
	spoil()
}

func metaAfterRequeue(r *rig) {
	m := r.minion()
	task := r.task(described(map[string]string{"k": "v"}))
	r.enqueue(task)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	r.metas(task)
	r.is(requeued(r, task.ID)[0], nil)
	r.metas(task)
	m.settle(m.succeed(m.take1()))
	r.metas(task)
}

func metaEnds(r *rig) {
	m := r.minion()
	keep := broker.MinTombstone + 5*time.Minute
	meta := described(map[string]string{"k": "v"})
	tasks := []*broker.Task{
		r.task(kept(0, 0), meta), r.task(kept(keep, 0), meta), r.task(kept(keep, keep), meta), r.task(kept(keep, 0), meta),
	}
	r.enqueue(tasks...)
	ds := m.take(len(tasks))
	m.settle(m.succeed(ds[0]), m.succeed(ds[1]), m.finish(ds[2], broker.StateFailed), m.finish(ds[3], broker.StateExpired))
	if st := r.lookup(tasks[0].ID)[0]; st.State != broker.StateUnknown || st.Meta != nil {
		r.Fatalf("Lookup of a task that is not stored returned %+v", st)
	}
	r.metas(tasks[1:]...)
	m.close()
	r.Advance(keep + 2*time.Minute)
	for range 3 { // before and after a client cleans up
		for _, st := range r.lookup(idsOf(tasks)...) {
			if st.State != broker.StateUnknown || st.Meta != nil {
				r.Fatalf("after the retention Lookup returned %+v", st)
			}
		}
		beat(r.minion())
	}
	for _, t := range tasks { // the ids can be used again
		t.Meta = nil
	}
	r.enqueue(tasks...)
	r.metas(tasks...)
}

// Lookup returns the name of a task as soon as it has an outcome. Before that a broker may not know
// the name. It never returns another name.
func nameInEachState(r *rig) {
	m := r.minion()
	tasks := append(r.ofAllKinds(), r.task(after(time.Hour)))
	for i, t := range tasks {
		t.Name = strings.Repeat("n", 1+i*(broker.MaxName-1)/(len(tasks)-1))
	}
	r.enqueue(tasks...)
	check := func() {
		r.Helper()
		for i, st := range r.lookup(idsOf(tasks)...) {
			if st.Name != tasks[i].Name && (st.Name != "" || st.Outcome != nil) {
				r.Fatalf("Lookup of task %d, which is %s, returned the name %q, want %q", i, st.State, st.Name, tasks[i].Name)
			}
		}
	}
	check()
	ds := m.take(len(tasks) - 1)
	check()
	var batch []broker.Settlement
	for i, d := range ds {
		if i%2 == 0 {
			batch = append(batch, m.failing(d, time.Hour))
		} else {
			batch = append(batch, m.finish(d, finals[i%len(finals)]))
		}
	}
	m.settle(batch...)
	check()
	for i, st := range r.lookup(idsOf(tasks)...) {
		if st.Failed != nil && st.Name != tasks[i].Name {
			r.Fatalf("Lookup of the failed task %d returned the name %q, want %q", i, st.Name, tasks[i].Name)
		}
	}
}
