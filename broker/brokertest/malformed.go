package brokertest

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Records that can't be read are in nobody's way, and none is dropped.
var malformedTests = []test{
	{"DoesNotStopOthers", malformedDoesNotStop, needMalform},
	{"UnknownIsKept", malformedIsKept, needMalform | needInspector},
	{"DoesNotWakeInVain", malformedDoesNotSpin, needMalform},
	{"BrokenBodyIsHandedOut", malformedBody, needMalform},
	{"BrokenBodyBecomesADeadLetter", malformedDead, needMalform | needInspector},
	{"BrokenBodySurvivesDeath", malformedDeath, needMalform | needLapse},
}

// garbage returns records of no known version, or shorter than a head.
func garbage(r *rig) [][]byte {
	good := broker.AppendRecord(nil, r.task())
	newer := append([]byte{broker.MessageVersion + 1}, good[1:]...)
	older := append([]byte{broker.MessageVersion - 1}, good[1:]...)
	foreign := append([]byte{0}, good[1:]...)
	return [][]byte{
		newer, older, foreign, {0xff}, {'x', 'y', 'z'}, []byte(`{"class":"Job","args":[1]}`),
		good[:1], good[:broker.HeadSize-1],
	}
}

// broken returns a record with a good head and a body that can't be read.
func broken(r *rig, task *broker.Task) []byte {
	good := broker.AppendRecord(nil, task)
	return append(good[:broker.HeadSize:broker.HeadSize], 0xc1, 0xff, 0x00)
}

func malformedDoesNotStop(r *rig) {
	m := r.minion("q", "r")
	var tasks []*broker.Task
	for _, record := range garbage(r) {
		r.Malform("q", record)
		task := r.task()
		r.enqueue(task)
		tasks = append(tasks, task)
	}
	r.Malform("q", garbage(r)[0])
	r.same(takenOf(m.take(len(tasks))), idsOf(tasks))
	m.none()
	one := r.minion()
	task := r.task()
	r.enqueue(task)
	r.same(takenOf(one.take(1)), []broker.ID{task.ID})
	one.none()
}

func malformedIsKept(r *rig) {
	m := r.minion()
	records := garbage(r)
	for _, record := range records {
		r.Malform("q", record)
		r.enqueue(r.task())
	}
	for _, d := range m.take(len(records)) {
		m.settle(m.succeed(d))
	}
	m.none()
	m.none()
	m.close()
	m = r.minion()
	m.none()
	beat(m)
	if got := counts(r, "q"); got.Unreadable != len(records) || got.Pending != 0 || got.Dead != 0 {
		r.Fatalf("%+v, want %d unreadable and nothing else", got, len(records))
	}
}

// A consumer that finds only garbage waits, and is woken by what comes next.
func malformedDoesNotSpin(r *rig) {
	m := r.minion()
	r.Malform("q", garbage(r)[0])
	done := m.waiting(r.ctx, 1, patience)
	r.Malform("q", garbage(r)[3])
	r.idle()
	task := r.task()
	start := time.Now()
	r.enqueue(task)
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

func malformedBody(r *rig) {
	m := r.minion()
	bad, good := r.task(), r.task()
	r.Malform("q", broken(r, bad))
	r.enqueue(good)
	ds := m.take(2)
	r.same(takenOf(ds), []broker.ID{bad.ID, good.ID})
	d := ds[0]
	if !errors.Is(d.Err, broker.ErrMalformed) || d.Queue != "q" || d.Attempt != 1 || ds[1].Err != nil {
		r.Fatalf("err: %v, queue %q, attempt %d", d.Err, d.Queue, d.Attempt)
	}
	s := m.finish(d, broker.StateFailed)
	m.settle(s)
	m.settle(s)
	m.none()
}

func malformedDead(r *rig) {
	m := r.minion()
	bad := r.task()
	r.Malform("q", broken(r, bad))
	s := m.finish(m.take1(), broker.StateFailed)
	m.settle(s)
	dead := deadLetters(r, "q", 10)[bad.ID]
	if dead == nil {
		r.Fatalf("the broken record is not among the dead letters")
	}
	r.equal(dead.Outcome, s.Outcome)
	if got := counts(r, "q"); got.Dead != 1 || got.Pending != 0 || got.Running != 0 {
		r.Fatalf("%+v, want one dead letter", got)
	}
	r.in(broker.StateFailed, bad.ID)
}

func malformedDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	bad, good := r.task(), r.task()
	r.Malform("q", broken(r, bad))
	r.enqueue(good)
	dying.take(2)
	r.reap([]*minion{m}, dying)
	ds := m.take(2)
	r.sameSet(takenOf(ds), []broker.ID{bad.ID, good.ID})
	for _, d := range ds {
		r.attempt(d, 2, 0, 1)
		if (d.Err != nil) != (d.ID == bad.ID) {
			r.Fatalf("task %s: %v", d.ID, d.Err)
		}
	}
}
