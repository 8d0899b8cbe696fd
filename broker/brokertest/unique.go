package brokertest

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// At most one task of a queue that is not final holds a unique key.
var uniqueTests = []test{
	{"HeldWhileNotFinal", uniqueHeld, 0},
	{"FreeWhenFinal", uniqueFree, 0},
	{"FreeAfterCancelOfWaiting", uniqueFreeAfterCancel, 0},
	{"FreeAfterCancelOfRunning", uniqueFreeAfterKill, 0},
	{"FreeAfterRetention0", uniqueFreeAfterRetention0, 0},
	{"HeldThroughDeathAndGiveBack", uniqueHeldThroughDeath, needLapse},
	{"RepeatOfTheHolder", uniqueRepeatOfHolder, 0},
	{"RepeatOfAnEarlierHolder", uniqueRepeatOfEarlier, 0},
	{"LateSettlementFreesNothing", uniqueLateSettlement, needLapse},
	{"QueuesAreIndependent", uniqueQueues, 0},
	{"InOneBatch", uniqueInOneBatch, 0},
	{"RefusedLeavesNothing", uniqueRefusedLeavesNothing, 0},
	{"AnyBytes", uniqueAnyBytes, 0},
	{"Concurrent", uniqueConcurrent, 0},
}

// keyHeld checks that the task holds the key "k".
func keyHeld(r *rig, holder broker.ID) {
	r.Helper()
	task := r.task(keyed("k"))
	r.duplicate(r.refused(task), task.ID, holder, "k")
	r.in(broker.StateUnknown, task.ID)
}

func uniqueHeld(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), after(200*time.Millisecond))
	r.enqueue(task)
	keyHeld(r, task.ID) // scheduled
	d := m.take1()
	keyHeld(r, task.ID) // running
	m.settle(retry(d, 200*time.Millisecond))
	keyHeld(r, task.ID) // retrying
	d = m.take1()
	m.settle(retry(d, 0))
	keyHeld(r, task.ID) // due again
	d = m.take1()
	m.settle(snooze(d, time.Hour))
	keyHeld(r, task.ID)

	pending := r.task(keyed("p"))
	r.enqueue(pending)
	second := r.task(keyed("p"))
	r.duplicate(r.refused(second), second.ID, pending.ID, "p")
}

func uniqueFree(r *rig) {
	m := r.minion()
	for _, state := range finals {
		task := r.task(keyed("k"))
		r.enqueue(task)
		keyHeld(r, task.ID)
		m.settle(m.finish(m.take1(), state))
	}
	r.enqueue(r.task(keyed("k")))
}

func uniqueFreeAfterCancel(r *rig) {
	m := r.minion()
	pending := r.task(keyed("k"))
	r.enqueue(pending)
	r.canceled(pending.ID, broker.CancelPrevented)
	scheduled := r.task(keyed("k"), after(time.Hour))
	r.enqueue(scheduled)
	r.canceled(scheduled.ID, broker.CancelPrevented)
	retrying := r.task(keyed("k"))
	r.enqueue(retrying)
	m.settle(retry(m.take1(), time.Hour))
	r.canceled(retrying.ID, broker.CancelPrevented)
	last := r.task(keyed("k"))
	r.enqueue(last)
	keyHeld(r, last.ID)
}

func uniqueFreeAfterKill(r *rig) {
	m := r.minion()
	for _, settle := range []func(d *broker.Delivery) broker.Settlement{
		func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateCanceled) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, time.Hour) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, time.Hour) },
		giveBack,
	} {
		task := r.task(keyed("k"))
		r.enqueue(task)
		d := m.take1()
		r.canceled(task.ID, broker.CancelRequested)
		keyHeld(r, task.ID)
		m.settle(settle(d))
		r.in(broker.StateCanceled, task.ID)
	}
	r.enqueue(r.task(keyed("k")))
}

func uniqueFreeAfterRetention0(r *rig) {
	m := r.minion()
	for _, state := range finals {
		r.enqueue(r.task(keyed("k"), kept(0, 0)))
		m.settle(m.finish(m.take1(), state))
	}
	task := r.task(keyed("k"), kept(0, 0))
	r.enqueue(task)
	r.canceled(task.ID, broker.CancelPrevented)
	r.enqueue(r.task(keyed("k")))
}

func uniqueHeldThroughDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task(keyed("k"))
	r.enqueue(task)
	dying.take1()
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	keyHeld(r, task.ID)
	d := m.take1()
	m.settle(giveBack(d))
	keyHeld(r, task.ID)
	m.close()
	keyHeld(r, task.ID)
	m = r.minion()
	m.settle(m.succeed(m.take1()))
	r.enqueue(r.task(keyed("k")))
}

func uniqueRepeatOfHolder(r *rig) {
	task := r.task(keyed("k"))
	r.enqueue(task)
	r.enqueue(task)
	m := r.minion()
	d := m.take1()
	r.enqueue(task)
	m.none()
	m.settle(m.succeed(d))
	r.enqueue(task)
	m.none()
	r.enqueue(r.task(keyed("k"))) // the repeat has not taken the key again
}

func uniqueRepeatOfEarlier(r *rig) {
	m := r.minion()
	first, second := r.task(keyed("k")), r.task(keyed("k"))
	r.enqueue(first)
	m.settle(m.succeed(m.take1()))
	r.enqueue(second)
	r.enqueue(first) // its record is stored: no error, and no effect
	keyHeld(r, second.ID)
	r.same(takenOf(m.take(1)), []broker.ID{second.ID})
	m.none()
}

func uniqueLateSettlement(r *rig) {
	dying, m := r.minion(), r.minion()
	first := r.task(keyed("k"))
	r.enqueue(first)
	late := dying.take1()
	r.reap([]*minion{m}, dying)
	d := m.take1()
	m.settle(m.succeed(d))
	second := r.task(keyed("k"))
	r.enqueue(second)
	if err := lost(dying.Settle(r.ctx, []broker.Settlement{dying.succeed(late)})); err == nil {
		r.Fatalf("the settlement of a lost lease was accepted")
	}
	m.settle(m.succeed(d)) // a repeat has no effect
	r.canceled(first.ID, broker.CancelTooLate)
	keyHeld(r, second.ID)
}

func uniqueQueues(r *rig) {
	a, b := r.task(keyed("k"), onQueue("a")), r.task(keyed("k"), onQueue("b"))
	r.enqueue(a, b)
	again := r.task(keyed("k"), onQueue("b"))
	r.duplicate(r.refused(again), again.ID, b.ID, "k")
	m := r.minion("a")
	m.settle(m.succeed(m.take1()))
	r.enqueue(r.task(keyed("k"), onQueue("a")))
	r.duplicate(r.refused(again), again.ID, b.ID, "k")
}

func uniqueInOneBatch(r *rig) {
	tasks := []*broker.Task{
		r.task(), r.task(keyed("k")), r.task(keyed("k")), r.task(keyed("l")), r.task(keyed("k")),
	}
	errs := r.refusals(tasks, 2, 4)
	r.duplicate(errs[2], tasks[2].ID, tasks[1].ID, "k")
	r.duplicate(errs[4], tasks[4].ID, tasks[1].ID, "k")
	m := r.minion()
	r.same(takenOf(m.take(3)), []broker.ID{tasks[0].ID, tasks[1].ID, tasks[3].ID})
	m.none()
}

func uniqueRefusedLeavesNothing(r *rig) {
	m := r.minion()
	holder, refused := r.task(keyed("k")), r.task(keyed("k"), after(50*time.Millisecond))
	r.enqueue(holder)
	r.duplicate(r.refused(refused), refused.ID, holder.ID, "k")
	r.in(broker.StateUnknown, refused.ID)
	if got := r.cancel(refused.ID)[0]; got != broker.CancelUnknown {
		r.Fatalf("the verdict on a refused task is %q", got)
	}
	m.settle(m.succeed(m.take1()))
	r.pass(100*time.Millisecond, m)
	m.none()
	r.enqueue(refused) // the key is free now
	r.same(takenOf(m.take(1)), []broker.ID{refused.ID})
}

func uniqueAnyBytes(r *rig) {
	keys := []string{
		" ", "a:b", "{q}", "a\x00b", "a\x00", "ключ", "\xff\xfe", "*", "%s", "1", "01",
		strings.Repeat("x", broker.MaxScopedKey), strings.Repeat("x", broker.MaxScopedKey-1),
		broker.ScopedKey("a", "k"), broker.ScopedKey("b", "k"), broker.ScopedKey("a", "b/k"),
	}
	holders := map[string]broker.ID{}
	for _, key := range keys {
		task := r.task(keyed(key))
		r.enqueue(task)
		holders[key] = task.ID
	}
	for _, key := range keys {
		task := r.task(keyed(key))
		r.duplicate(r.refused(task), task.ID, holders[key], key)
	}
}

func uniqueConcurrent(r *rig) {
	const submitters, rounds = 16, 5
	m := r.minion()
	brokers := []broker.Broker{r.Broker, r.other()}
	for range rounds {
		tasks := r.batch(submitters, keyed("k"))
		var won atomic.Int32
		errs := make([]error, submitters)
		together(many(submitters, func(i int) {
			if errs[i] = brokers[i%2].Enqueue(r.ctx, tasks[i:i+1]); errs[i] == nil {
				won.Add(1)
			}
		})...)
		if won.Load() != 1 {
			r.Fatalf("%d submitters got the key at the same time, want 1", won.Load())
		}
		d := m.take1()
		for i, err := range errs {
			if err != nil {
				r.duplicate(err, tasks[i].ID, d.ID, "k")
			} else if tasks[i].ID != d.ID {
				r.Fatalf("Enqueue accepted task %s, but task %s was handed out", tasks[i].ID, d.ID)
			}
		}
		m.none()
		m.settle(m.succeed(d))
	}
}
