package brokertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Bounder: a queue refuses new tasks while too many wait.
func boundTests() []test {
	tests := []test{
		{"RefusedWhenFull", boundFull, 0},
		{"OthersAreNotRefused", boundOthers, 0},
		{"WhatWaitsCounts", boundCounts, needFlows},
		{"ParkedCounts", boundParked, needParker},
		{"LanesCount", boundLanes, needLanes},
		{"SetAsideCounts", boundPaused, needPauser},
		{"CanceledMakesRoom", boundCanceled, 0},
		{"ExpiredMakesRoom", boundExpired, 0},
		{"ComesBackBeyondTheBound", boundBack, 0},
		{"PartOfABatch", boundBatch, 0},
		{"EnqueuedAgain", boundRepeated, 0},
		{"KindsOfTasks", boundKinds, needLanes},
		{"UniqueKeys", boundUnique, 0},
		{"ReplacedMakesRoom", boundReplaced, needUniques},
		{"Changed", boundChanged, 0},
		{"Elsewhere", boundElsewhere, needReopen},
		{"Invalid", boundInvalid, 0},
		{"Stays", boundStays, needJump},
		{"IsForgotten", boundForgotten, needJump | needInspector},
		{"IsListed", boundListed, needInspector},
		{"AtOnce", boundAtOnce, 0},
		{"UnderLoad", boundUnderLoad, 0},
	}
	for i := range tests {
		tests[i].needs |= needBounder
	}
	return tests
}

func (r *rig) bounder() broker.Bounder {
	return &watchedBounder{raw(r.Broker).(broker.Bounder), r.dog}
}

type watchedBounder struct {
	b   broker.Bounder
	dog *watchdog
}

func (b *watchedBounder) SetBound(ctx context.Context, queue string, most int) error {
	return b.dog.do("SetBound", func() error { return b.b.SetBound(ctx, queue, most) })
}

func (b *watchedBounder) Bound(ctx context.Context, queue string) (most, waiting int, err error) {
	err = b.dog.do("Bound", func() (err error) {
		most, waiting, err = b.b.Bound(ctx, queue)
		return err
	})
	return most, waiting, err
}

// bounded lets a task be refused if its queue is full.
func bounded(t *broker.Task) { t.Bounded = true }

// bound bounds queue "q", which must succeed.
func (r *rig) bound(most int) {
	r.Helper()
	if err := r.bounder().SetBound(r.ctx, "q", most); err != nil {
		r.Fatalf("SetBound(%d): %v", most, err)
	}
}

// waits checks the bound of queue "q", and how many tasks wait there.
func (r *rig) waits(most, waiting int) {
	r.Helper()
	gotMost, got, err := r.bounder().Bound(r.ctx, "q")
	if err != nil || gotMost != most || got != waiting {
		r.Fatalf("Bound returned %d and %d, %v; want a bound of %d, and that %d tasks wait", gotMost, got, err, most, waiting)
	}
}

// isFull checks the error of a task for which there was no room.
func (r *rig) isFull(err error, most, waiting int) {
	r.Helper()
	var full *broker.FullError
	if !errors.As(err, &full) || !errors.Is(err, broker.ErrFull) || *full != (broker.FullError{Queue: "q", Most: most, Waiting: waiting}) {
		r.Fatalf("the error is %v, want a *FullError of queue q with %d tasks of %d", err, waiting, most)
	}
}

// noRoom checks that a task is refused since as many tasks wait as may.
func (r *rig) noRoom(most int) {
	r.Helper()
	task := r.task(bounded)
	r.isFull(r.refused(task), most, most)
	r.in(broker.StateUnknown, task.ID)
}

func boundFull(r *rig) {
	m := r.minion()
	r.bound(3)
	r.waits(3, 0)
	tasks := r.batch(3, bounded)
	for i, task := range tasks {
		r.enqueue(task)
		r.waits(3, i+1)
	}
	r.noRoom(3)
	ds := m.take(2)
	m.equals(ds[0], unbound(tasks[0]))
	r.waits(3, 1)
	more := r.batch(2, bounded)
	r.enqueue(more...)
	r.noRoom(3)
	m.settle(m.succeed(ds[0]), m.finish(ds[1], broker.StateFailed)) // a dead letter does not wait
	r.noRoom(3)
	m.next(tasks[2], more[0], more[1])
	r.waits(3, 0)
	r.bound(0)
	r.waits(0, 0)
	r.enqueue(r.batch(10, bounded)...)
	r.waits(0, 10)
}

// unbound returns the task as it is delivered.
func unbound(t *broker.Task) *broker.Task {
	c := *t
	c.Bounded = false
	return &c
}

// Tasks without Bounded are stored also if the queue is full, and so are those of other queues.
func boundOthers(r *rig) {
	r.bound(2)
	r.enqueue(r.batch(2)...)
	r.noRoom(2)
	r.enqueue(r.batch(3)...)
	r.waits(2, 5)
	r.enqueue(r.batch(5, bounded, onQueue("other"))...)
	task := r.task(bounded)
	r.isFull(r.refused(task), 2, 5)
}

func boundCounts(r *rig) {
	m := r.minion()
	r.bound(5)
	kinds := []*broker.Task{
		r.task(bounded), r.task(bounded, after(time.Hour)), r.task(bounded, blocked), r.task(bounded, blocked, after(time.Hour)),
		r.task(bounded, within(time.Hour)),
	}
	for i, task := range kinds {
		r.enqueue(task)
		r.waits(5, i+1)
	}
	r.noRoom(5)
	ds := m.take(2)
	r.waits(5, 3)
	m.settle(retry(ds[0], time.Hour), snooze(ds[1], time.Hour))
	r.waits(5, 5)
	r.noRoom(5)
	r.releases(unbound(kinds[2]))
	r.waits(5, 5)
	r.canceled(kinds[3].ID, broker.CancelPrevented)
	r.waits(5, 4)
}

func boundParked(r *rig) {
	r.bound(2)
	r.parks(r.task(bounded), r.task(bounded))
	r.waits(2, 2)
	r.noRoom(2)
}

func boundLanes(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	r.bound(4)
	r.enqueue(r.task(bounded, lane(using("l"))), r.task(bounded, lane(using("l"))), r.task(bounded, lane(inSequence("s"))), r.task(bounded, lane(inSequence("s"))))
	r.noRoom(4)
	ds := m.take(2)
	m.none()
	r.waits(4, 2)
	r.enqueue(r.task(bounded), r.task(bounded))
	r.noRoom(4)
	m.settle(giveBack(ds[0]))
	task := r.task(bounded)
	r.isFull(r.refused(task), 4, 5)
}

func boundPaused(r *rig) {
	m := r.minion()
	r.bound(3)
	r.pause(ofTask("a"))
	r.enqueue(r.task(bounded, named("a")), r.task(bounded, named("a")), r.task(bounded))
	r.waits(3, 3)
	m.take1()
	m.none()
	r.waits(3, 2)
	r.enqueue(r.task(bounded, named("a")))
	r.noRoom(3)
	r.goOn(ofTask("a"))
	r.noRoom(3)
	m.take(3)
	r.waits(3, 0)
	r.pause(whole)
	r.enqueue(r.batch(3, bounded)...)
	r.noRoom(3)
	r.bound(5)
	r.waits(5, 3)
	r.enqueue(r.task(bounded, lane(inSequence("s")))) // the first one in line, behind others
	r.waits(5, 4)
	r.pause(ofTask("a"))
	r.enqueue(r.task(bounded))
	r.noRoom(5)
	r.goOn(whole)
	r.goOn(ofTask("a"))
	m.take(5)
	r.waits(5, 0)
}

func boundCanceled(r *rig) {
	m := r.minion()
	r.bound(3)
	tasks := r.batch(3, bounded)
	r.enqueue(tasks...)
	for range 3 {
		r.noRoom(3)
		r.canceled(tasks[1].ID, broker.CancelPrevented)
		r.waits(3, 2)
		tasks[1] = r.task(bounded)
		r.enqueue(tasks[1])
	}
	m.next(tasks[0], tasks[2], tasks[1])
	m.none()
	r.waits(3, 0)
}

func boundExpired(r *rig) {
	r.bound(2)
	tasks := r.batch(2, bounded, within(brief))
	r.enqueue(tasks...)
	r.expire(tasks...)
	r.waits(2, 0)
	r.enqueue(r.batch(2, bounded)...)
	r.noRoom(2)
}

// A task that comes back is not refused.
func boundBack(r *rig) {
	m := r.minion()
	r.bound(2)
	tasks := r.batch(2, bounded)
	r.enqueue(tasks...)
	ds := m.take(2)
	r.enqueue(r.batch(2, bounded)...)
	m.settle(giveBack(ds[0]), retry(ds[1], 0))
	r.waits(2, 4)
	r.isFull(r.refused(r.task(bounded)), 2, 4)
	m.take(2)
	r.waits(2, 2)
	r.noRoom(2)
}

// Of a batch as many tasks are stored as there is room for, from the first one on.
func boundBatch(r *rig) {
	m := r.minion()
	r.bound(5)
	tasks := r.batch(8, bounded)
	for i, err := range r.refusals(tasks, 5, 6, 7) {
		if i >= 5 {
			r.isFull(err, 5, 5)
		}
	}
	r.waits(5, 5)
	for _, d := range m.take(5) {
		m.settle(m.succeed(d))
	}
	r.enqueue(tasks...) // those that were stored before are over
	r.same(takenOf(m.take(3)), idsOf(tasks[5:]))
	r.waits(5, 0)
	// A large batch is stored in several parts.
	n := 2*broker.MaxBatch + 10
	r.bound(broker.MaxBatch + 5)
	many := r.batch(n, bounded)
	var refused []int
	for i := broker.MaxBatch + 5; i < n; i++ {
		refused = append(refused, i)
	}
	r.refusals(many, refused...)
	r.waits(broker.MaxBatch+5, broker.MaxBatch+5)
}

// A task that is stored already is not refused, and needs no room.
func boundRepeated(r *rig) {
	m := r.minion()
	r.bound(2)
	tasks := r.batch(2, bounded)
	r.enqueue(tasks...)
	r.enqueue(tasks...)
	r.waits(2, 2)
	r.noRoom(2)
	other := *tasks[0]
	other.Payload = []byte("another")
	if err := r.refused(&other); !errors.Is(err, broker.ErrDuplicate) {
		r.Fatalf("a task with the id of another one: %v, want ErrDuplicate", err)
	}
	m.next(tasks...)
	r.enqueue(tasks...)
	r.waits(2, 0)
}

// All kinds of tasks are checked, whatever they need, and mixed.
func boundKinds(r *rig) {
	kinds := []func(*broker.Task){
		func(*broker.Task) {}, after(time.Hour), within(time.Hour), lane(), func(t *broker.Task) { t.Unique.Key = itoa(r.tasks) },
		payload(make([]byte, 50_000)), func(t *broker.Task) { t.Meta = map[string]string{"a": "b"} },
		func(t *broker.Task) { lane()(t); t.Unique.Key = itoa(r.tasks) },
	}
	r.bound(len(kinds))
	for i, kind := range kinds {
		r.enqueue(r.task(bounded, kind))
		r.waits(len(kinds), i+1)
	}
	for _, kind := range kinds {
		task := r.task(bounded, kind)
		r.isFull(r.refused(task), len(kinds), len(kinds))
		r.in(broker.StateUnknown, task.ID)
	}
	var all []*broker.Task
	for range 3 {
		for _, kind := range kinds {
			all = append(all, r.task(bounded, kind))
		}
	}
	r.bound(2 * len(kinds))
	err := r.Broker.Enqueue(r.ctx, all)
	var batch *broker.BatchError
	if !errors.As(err, &batch) {
		r.Fatalf("Enqueue returned %v, want a *BatchError", err)
	}
	stored := 0
	for _, err := range batch.Errs {
		if err == nil {
			stored++
		} else if !errors.Is(err, broker.ErrFull) {
			r.Fatalf("Enqueue refused a task: %v, want ErrFull", err)
		}
	}
	if stored != len(kinds) {
		r.Fatalf("%d tasks were stored, want %d", stored, len(kinds))
	}
	r.waits(2*len(kinds), 2*len(kinds))
}

// Whether a key is taken comes before whether there is room.
func boundUnique(r *rig) {
	m := r.minion()
	r.bound(1)
	task := r.task(bounded, keyed("k"))
	r.enqueue(task)
	second := r.task(bounded, keyed("k"))
	r.duplicate(r.refused(second), second.ID, task.ID, "k")
	other := r.task(bounded, keyed("other"))
	r.isFull(r.refused(other), 1, 1)
	m.next(task)
	r.enqueue(other)
	m.next(other)
	free := r.task(bounded, keyed("other")) // a refused task has not taken its key
	r.enqueue(free)
	m.next(free)
}

// A task that replaces one that waits needs no room.
func boundReplaced(r *rig) {
	m := r.minion()
	r.bound(2)
	first, other := r.task(bounded, keyed("k")), r.task(bounded)
	r.enqueue(first, other)
	second := r.task(bounded, keyed("k"), replacing)
	r.enqueue(second)
	r.in(broker.StateCanceled, first.ID)
	r.waits(2, 2)
	r.noRoom(2)
	m.settle(m.succeed(m.gets(other)))
	d := m.gets(second)
	r.enqueue(r.batch(2, bounded)...)
	behind := r.task(bounded, keyed("k"), latest)
	r.isFull(r.refused(behind), 2, 2)
	m.take1()
	r.enqueue(behind)
	instead := r.task(bounded, keyed("k"), latest)
	r.enqueue(instead) // in the place of the one that waits
	r.waits(2, 2)
	m.settle(m.succeed(d))
}

func boundChanged(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(4, bounded)...)
	r.bound(2) // what waits stays
	r.isFull(r.refused(r.task(bounded)), 2, 4)
	r.bound(5)
	r.enqueue(r.task(bounded))
	r.noRoom(5)
	r.bound(5)
	r.noRoom(5)
	m.take(3)
	r.bound(1)
	r.isFull(r.refused(r.task(bounded)), 1, 2)
	r.bound(0)
	r.bound(0)
	r.enqueue(r.batch(20, bounded)...)
}

// A bound holds for all clients of a store, also for one that has stored tasks before.
func boundElsewhere(r *rig) {
	other := r.other()
	r.enqueue(r.task(bounded))
	if err := other.Enqueue(r.ctx, []*broker.Task{r.task(bounded)}); err != nil {
		r.Fatalf("Enqueue: %v", err)
	}
	r.bound(3)
	if err := other.Enqueue(r.ctx, []*broker.Task{r.task(bounded)}); err != nil {
		r.Fatalf("Enqueue: %v", err)
	}
	r.noRoom(3)
	var batch *broker.BatchError
	if err := other.Enqueue(r.ctx, []*broker.Task{r.task(bounded)}); !errors.As(err, &batch) {
		r.Fatalf("Enqueue: %v, want a *BatchError", err)
	}
	r.isFull(batch.Errs[0], 3, 3)
}

func boundInvalid(r *rig) {
	for what, err := range map[string]error{
		"queue name":  r.bounder().SetBound(r.ctx, "no name", 1),
		"-1, want":    r.bounder().SetBound(r.ctx, "q", -1),
		"1000000001,": r.bounder().SetBound(r.ctx, "q", broker.MaxBound+1),
	} {
		r.is(err, broker.ErrInvalid)
		r.names(err, what)
	}
	if _, _, err := r.bounder().Bound(r.ctx, "no name"); !errors.Is(err, broker.ErrInvalid) {
		r.Fatalf("Bound of an invalid queue name returned %v, want ErrInvalid", err)
	}
	if most, waiting, err := r.bounder().Bound(r.ctx, "unknown"); most != 0 || waiting != 0 || err != nil {
		r.Fatalf("Bound of an unknown queue returned %d, %d, %v", most, waiting, err)
	}
	r.bound(broker.MaxBound)
	r.waits(broker.MaxBound, 0)
	r.bound(0)
	if err := r.bounder().SetBound(r.ctx, "unknown", 0); err != nil {
		r.Fatalf("SetBound(0) of an unknown queue: %v", err)
	}
}

func boundStays(r *rig) {
	r.bound(2)
	r.Advance(3 * broker.MaxUnused)
	r.waits(2, 0)
	m := r.minion()
	tasks := r.batch(2, bounded)
	r.enqueue(tasks...)
	m.next(tasks...)
	m.close()
	r.Advance(30 * broker.MaxUnused)
	r.waits(2, 0)
	r.enqueue(r.batch(2, bounded)...)
	r.noRoom(2)
}

func boundForgotten(r *rig) {
	m := r.minion()
	r.bound(2)
	task := r.task(bounded, kept(time.Minute, 0))
	r.enqueue(task)
	m.next(task)
	r.bound(0)
	m.close()
	r.Advance(2*time.Hour + 2*broker.MaxUnused)
	r.queuesAre(r.inspector())
}

func boundListed(r *rig) {
	r.enqueue(r.task())
	if got := counts(r, "q"); got != (broker.QueueInfo{Name: "q", Pending: 1}) {
		r.Fatalf("the queue is counted as %+v", got)
	}
	r.bound(7)
	if got := counts(r, "q"); got != (broker.QueueInfo{Name: "q", Pending: 1, Bound: 7}) {
		r.Fatalf("the queue is counted as %+v", got)
	}
	r.bound(0)
	if got := counts(r, "q"); got != (broker.QueueInfo{Name: "q", Pending: 1}) {
		r.Fatalf("the queue is counted as %+v", got)
	}
}

// Of tasks that are enqueued at the same time, exactly as many are stored as there is room for.
func boundAtOnce(r *rig) {
	rounds := 20
	if r.light {
		rounds = 6
	}
	other := r.other()
	m := r.minion()
	for round := range rounds {
		const most, callers, each = 17, 8, 5
		r.bound(most)
		var batches [callers][]*broker.Task
		for i := range batches {
			var with []func(*broker.Task)
			if (round+i)%4 == 0 {
				with = append(with, after(time.Millisecond))
			}
			batches[i] = r.batch(each, append(with, bounded)...)
		}
		var mu sync.Mutex
		var stored []broker.ID
		together(many(callers, func(i int) {
			b := r.Broker
			if i%2 == 1 {
				b = other
			}
			err := b.Enqueue(r.ctx, batches[i])
			var batch *broker.BatchError
			if err != nil && !errors.As(err, &batch) {
				r.Errorf("Enqueue: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for j, task := range batches[i] {
				switch {
				case batch == nil || batch.Errs[j] == nil:
					stored = append(stored, task.ID)
				case !errors.Is(batch.Errs[j], broker.ErrFull):
					r.Errorf("Enqueue refused a task: %v, want ErrFull", batch.Errs[j])
				}
			}
		})...)
		if len(stored) != most {
			r.Fatalf("round %d: %d tasks were stored, want %d", round, len(stored), most)
		}
		got := m.take(most)
		r.sameSet(takenOf(got), stored)
		for _, d := range got {
			m.settle(m.succeed(d))
		}
		m.none()
	}
}

// While consumers make room, submitters that try again store all their tasks, and the bound holds at
// every moment.
func boundUnderLoad(r *rig) {
	n := 400
	if r.light {
		n = 100
	}
	const most = 10
	r.bound(most)
	tasks := r.batch(n, bounded)
	stop, cancel := context.WithCancel(r.ctx)
	defer cancel()
	m := r.minion()
	var got []broker.ID
	together(append(many(4, func(i int) {
		for j := i; j < n; j += 4 {
			for {
				err := r.Broker.Enqueue(stop, tasks[j:j+1])
				if err == nil {
					break
				}
				if !errors.Is(err, broker.ErrFull) {
					r.Errorf("Enqueue: %v", err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}), func() {
		for len(got) < n {
			if _, waiting, err := r.bounder().Bound(stop, "q"); err != nil || waiting > most {
				r.Errorf("%d tasks wait, %v; at most %d may", waiting, err, most)
				cancel()
				return
			}
			ds, err := m.Dequeue(stop, m.queues, 3, time.Second)
			if err != nil {
				r.Errorf("Dequeue: %v", err)
				cancel()
				return
			}
			for _, d := range ds {
				got = append(got, d.ID)
				if errs, err := m.Settle(stop, []broker.Settlement{m.succeed(d)}); err != nil || errs[0] != nil {
					r.Errorf("Settle: %v, %v", errs, err)
				}
			}
		}
	})...)
	r.sameSet(got, idsOf(tasks))
}
