package brokertest

import (
	"bytes"

	"github.com/go-arbiter/arbiter/broker"
)

var enqueueTests = []test{
	{"IsDelivered", enqueueIsDelivered, 0},
	{"WithoutAnyMinion", enqueueWithoutAnyMinion, 0},
	{"Nothing", enqueueNothing, 0},
	{"SeveralQueuesInOneBatch", enqueueSeveralQueues, 0},
	{"BadAmongGood", enqueueBadAmongGood, 0},
	{"RefusedLeavesNothing", enqueueRefusedLeavesNothing, 0},
	{"MoreThanMaxBatch", enqueueMoreThanMaxBatch, 0},
	{"MoreThanMaxBatchBytes", enqueueMoreThanMaxBatchBytes, 0},
	{"Concurrent", enqueueConcurrent, 0},
	{"CallerMayReuse", enqueueCallerMayReuse, 0},
}

func enqueueIsDelivered(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	r.in(broker.StatePending, task.ID)
	d := m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{task.ID})
	r.in(broker.StateRunning, task.ID)
	m.settle(m.succeed(d))
	r.in(broker.StateSucceeded, task.ID)
	m.none()
}

func enqueueWithoutAnyMinion(r *rig) {
	tasks := r.batch(3)
	r.enqueue(tasks...)
	r.same(takenOf(r.minionAt(r.other()).take(3)), idsOf(tasks))
}

func enqueueNothing(r *rig) {
	r.enqueue()
}

func enqueueSeveralQueues(r *rig) {
	var tasks []*broker.Task
	for range 3 {
		tasks = append(tasks, r.task(onQueue("a")), r.task(onQueue("b")), r.task(onQueue("c.d-e_F0")))
	}
	r.enqueue(tasks...)
	for i, queue := range []string{"a", "b", "c.d-e_F0"} {
		m := r.minion(queue)
		r.same(takenOf(m.take(3)), idsOf([]*broker.Task{tasks[i], tasks[i+3], tasks[i+6]}))
		m.none()
	}
}

func enqueueBadAmongGood(r *rig) {
	tasks := r.batch(10)
	tasks[0].Name = "no spaces allowed"
	tasks[3].Queue = ""
	tasks[4].Payload = make([]byte, r.Broker.Limits().Payload+1)
	tasks[7].ID = broker.ID{}
	tasks[9].Retries = broker.MaxRetries + 1
	errs := r.refusals(tasks, 0, 3, 4, 7, 9)
	for i, err := range errs {
		if err != nil {
			r.is(err, broker.ErrInvalid)
		}
		if (i == 4) != isTooLarge(err) {
			r.Errorf("task %d is valid, and was refused: %v", i, err)
		}
	}
	m := r.minion()
	good := []*broker.Task{tasks[1], tasks[2], tasks[5], tasks[6], tasks[8]}
	r.same(takenOf(m.take(5)), idsOf(good))
	m.none()
}

func enqueueRefusedLeavesNothing(r *rig) {
	task := r.task()
	task.Timeout = broker.NoTimeout - 1
	r.is(r.refused(task), broker.ErrInvalid)
	r.in(broker.StateUnknown, task.ID)
	task.Timeout = 0
	r.enqueue(task)
	m := r.minion()
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
	m.none()
}

func enqueueMoreThanMaxBatch(r *rig) {
	tasks := r.batch(2*broker.MaxBatch + 345)
	r.enqueue(tasks...)
	m := r.minion()
	r.same(takenOf(m.take(len(tasks))), idsOf(tasks))
	m.none()
}

func enqueueMoreThanMaxBatchBytes(r *rig) {
	size := min(r.Broker.Limits().Payload, 1<<20)
	tasks := r.batch(broker.MaxBatchBytes/size + 3)
	for i, task := range tasks {
		task.Payload = bytes.Repeat([]byte{byte(i)}, size)
	}
	r.enqueue(tasks...)
	m := r.minion()
	for i, d := range m.take(len(tasks)) {
		if d.ID != tasks[i].ID || !bytes.Equal(d.Payload, tasks[i].Payload) {
			r.Fatalf("delivery %d is task %s with a payload of %d bytes, want the enqueued one", i, d.ID, len(d.Payload))
		}
	}
	m.none()
}

// Many submitters enqueue many tasks at once. Each task is delivered, and the tasks of each
// submitter keep their order.
func enqueueConcurrent(r *rig) {
	const submitters, each = 8, 50
	brokers := []broker.Broker{r.Broker, r.other()}
	var tasks [submitters][]*broker.Task
	var all []broker.ID
	from := map[broker.ID]int{}
	for i := range tasks {
		tasks[i] = r.batch(each)
		all = append(all, idsOf(tasks[i])...)
		for _, task := range tasks[i] {
			from[task.ID] = i
		}
	}
	together(many(submitters, func(i int) {
		for _, task := range tasks[i] {
			if err := brokers[i%2].Enqueue(r.ctx, []*broker.Task{task}); err != nil {
				r.Errorf("Enqueue: %v", err)
			}
		}
	})...)
	got := takenOf(r.minion().take(submitters * each))
	r.sameSet(got, all)
	var order [submitters][]broker.ID
	for _, id := range got {
		order[from[id]] = append(order[from[id]], id)
	}
	for i := range order {
		r.same(order[i], idsOf(tasks[i]))
	}
}

func enqueueCallerMayReuse(r *rig) {
	task := r.task(payload([]byte("before")))
	task.Meta = map[string]string{"k": "before"}
	id := task.ID
	r.enqueue(task)
	copy(task.Payload, "AFTER!")
	task.Meta["k"] = "after"
	task.Name, task.ID = "other", broker.ID{}
	d := r.minion().take1()
	if d.ID != id || d.Name != "test.task" || string(d.Payload) != "before" || d.Meta["k"] != "before" {
		r.Fatalf("after a change to the caller's task the stored task is %s %q %q %v, want it unchanged", d.ID, d.Name, d.Payload, d.Meta)
	}
}
