package brokertest

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// Records that can't be read do not disturb other tasks, and none is dropped.
var malformedTests = []test{
	{"DoesNotStopOthers", malformedDoesNotStop, needMalform},
	{"UnknownIsKept", malformedIsKept, needMalform | needInspector},
	{"DoesNotWakeInVain", malformedDoesNotSpin, needMalform},
	{"BrokenBodyIsHandedOut", malformedBody, needMalform},
	{"BrokenBodyBecomesADeadLetter", malformedDead, needMalform | needInspector},
	{"BrokenBodySurvivesDeath", malformedDeath, needMalform | needLapse},
	{"NewerIsHandedOut", malformedNewer, needMalform},
	{"NewerIsParked", malformedNewerParked, needMalform | needParker | needInspector},
	{"NewerSurvivesDeath", malformedNewerDeath, needMalform | needLapse},
}

// garbage returns records whose head no program knows, and records that are shorter than a head.
func garbage(r *rig) [][]byte {
	good := wire.AppendRecord(nil, r.task())
	newer := append([]byte{wire.MaxMessageVersion + 1}, good[1:]...)
	older := append([]byte{wire.PlainVersion - 1}, good[1:]...)
	foreign := append([]byte{0}, good[1:]...)
	return [][]byte{
		newer, older, foreign, {0xff}, {'x', 'y', 'z'}, []byte(`{"class":"Job","args":[1]}`),
		good[:1], good[:wire.HeadSize-1],
	}
}

// broken returns a record with a valid head and a body that can't be read.
func broken(task *broker.Task) []byte {
	good := wire.AppendRecord(nil, task)
	return append(good[:wire.HeadSize:wire.HeadSize], 0xc1, 0xff, 0x00)
}

// newer returns a message of a newer version, with a body that this version can't read.
func newer(version uint8, task *broker.Task) []byte {
	record := wire.AppendRecord(nil, task)
	record[0] = version
	return append(record[:wire.HeadSize:wire.HeadSize], 0xc1, 0xff, 0x00)
}

// The head of a newer message has the id of the task, so a consumer that gets it can give it back.
func malformedNewer(r *rig) {
	m := r.minion()
	for _, version := range []uint8{wire.MessageVersion + 1, wire.MaxMessageVersion} {
		task := r.task()
		r.Malform("q", newer(version, task))
		for attempt := uint32(1); attempt < 3; attempt++ {
			d := m.take1()
			if d.ID != task.ID || d.Queue != "q" || d.Version != version || !errors.Is(d.Err, broker.ErrVersion) || d.Attempt != attempt {
				r.Fatalf("delivery is %+v, want task %s of version %d and attempt %d", d, task.ID, version, attempt)
			}
			if attempt == 1 {
				m.settle(broker.Settlement{Delivery: d, Verb: broker.VerbGiveBack, Unstarted: true})
			} else {
				m.settle(m.finish(d, broker.StateFailed))
			}
		}
	}
	m.none()
}

// A newer message is parked with its version as the need, and Parked shows that. It is not handed
// to a consumer that can't read it until its time is over.
func malformedNewerParked(r *rig) {
	m, knows := r.minion(), r.knowing("test.task")
	const version = wire.MessageVersion + 1
	r.Malform("q", newer(version, r.task()))
	r.Malform("q", newer(version, r.task()))
	for _, d := range m.take(2) {
		m.settle(park(d, time.Hour))
	}
	r.parked(broker.Parked{Need: broker.Need{Version: version}, Tasks: 2})
	if got := counts(r, "q"); got.Parked != 2 || got.Unreadable != 0 || got.Dead != 0 || got.Pending != 0 {
		r.Fatalf("the queue is counted as %+v, want two parked tasks", got)
	}
	beat(m, knows)
	m.none()
	knows.none()
	r.minion().none()
	r.knowing("test.task").none()
	r.parked(broker.Parked{Need: broker.Need{Version: version}, Tasks: 2})
}

func malformedNewerDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	task, other := r.task(), r.task()
	r.Malform("q", newer(wire.MessageVersion+1, task))
	r.enqueue(other)
	dying.take(2)
	r.reap([]*minion{m}, dying)
	ds := m.take(2)
	r.sameSet(takenOf(ds), idsOf([]*broker.Task{task, other}))
	for _, d := range ds {
		r.attempt(d, 2, 0, 1)
		if (d.Version != 0) != (d.ID == task.ID) {
			r.Fatalf("task %s has version %d and the error %v", d.ID, d.Version, d.Err)
		}
	}
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
		r.Fatalf("the queue is counted as %+v, want %d unreadable records and nothing else", got, len(records))
	}
}

// A consumer that finds only unreadable records waits, and is woken by the next task.
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
	r.Malform("q", broken(bad))
	r.enqueue(good)
	ds := m.take(2)
	r.same(takenOf(ds), []broker.ID{bad.ID, good.ID})
	d := ds[0]
	if !errors.Is(d.Err, broker.ErrMalformed) || d.Queue != "q" || d.Attempt != 1 || ds[1].Err != nil {
		r.Fatalf("delivery of a broken body has Err %v, queue %q and attempt %d", d.Err, d.Queue, d.Attempt)
	}
	s := m.finish(d, broker.StateFailed)
	m.settle(s)
	m.settle(s)
	m.none()
}

func malformedDead(r *rig) {
	m := r.minion()
	bad := r.task()
	r.Malform("q", broken(bad))
	s := m.finish(m.take1(), broker.StateFailed)
	m.settle(s)
	dead := deadLetters(r, "q", 10)[bad.ID]
	if dead == nil {
		r.Fatalf("the broken record was settled as failed, but is not a dead letter")
	}
	r.equal(dead.Outcome, s.Outcome)
	if got := counts(r, "q"); got.Dead != 1 || got.Pending != 0 || got.Running != 0 {
		r.Fatalf("the queue is counted as %+v, want one dead letter", got)
	}
	r.in(broker.StateFailed, bad.ID)
}

func malformedDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	bad, good := r.task(), r.task()
	r.Malform("q", broken(bad))
	r.enqueue(good)
	dying.take(2)
	r.reap([]*minion{m}, dying)
	ds := m.take(2)
	r.sameSet(takenOf(ds), []broker.ID{bad.ID, good.ID})
	for _, d := range ds {
		r.attempt(d, 2, 0, 1)
		if (d.Err != nil) != (d.ID == bad.ID) {
			r.Fatalf("task %s with a broken body has Err %v", d.ID, d.Err)
		}
	}
}
