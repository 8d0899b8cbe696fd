package brokertest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Several consumers work at once, and end attempts in all ways. No limit is ever exceeded, no two
// tasks of a sequence run at once, and all tasks end.
func laneLoad(r *rig) {
	n, consumers := 600, 4
	if r.light {
		n = 120
	}
	const most, sequences = 3, 5
	r.define(broker.Limit{Name: "l", Most: most})
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		with := []func(*broker.Lane){fair(itoa(i % 6)), priority(uint8(i % 4))}
		if i%2 == 0 {
			with = append(with, usingCost("l", uint32(1+i%4/2)))
		}
		if i%3 == 0 {
			with = append(with, inSequence(itoa(i%sequences)))
		}
		if tasks[i] = r.task(lane(with...)); i%10 == 0 {
			tasks[i].Lane = nil
		}
	}
	other := r.other()
	var used, left atomic.Int64
	var running [sequences]atomic.Int64
	left.Store(int64(n))
	place := map[broker.ID]int{} // the last task of each sequence that ran must come before
	for i, task := range tasks {
		place[task.ID] = i
	}
	var mu sync.Mutex
	last := map[string]int{}
	var workers []func()
	for w := range consumers {
		m := r.minionAt([]broker.Broker{r.Broker, other}[w%2])
		rng := rand.New(rand.NewPCG(uint64(w), 11))
		work := func(d *broker.Delivery) broker.Settlement {
			if l := d.Lane; l != nil {
				for _, u := range l.Limits {
					if now := used.Add(int64(u.Cost)); now > most {
						r.Errorf("the tasks that consumers hold use %d of a limit of %d", now, most)
					}
				}
				if l.Sequence != "" {
					if running[l.Sequence[0]-'0'].Add(1) > 1 {
						r.Errorf("two tasks of sequence %s run at once", l.Sequence)
					}
					mu.Lock()
					if at := place[d.ID]; at < last[l.Sequence] {
						r.Errorf("task %d of sequence %s runs after task %d", at, l.Sequence, last[l.Sequence])
					} else {
						last[l.Sequence] = at
					}
					mu.Unlock()
				}
			}
			switch rng.IntN(8) {
			case 0:
				return giveBack(d)
			case 1:
				return retry(d, 0)
			case 2:
				return snooze(d, time.Duration(rng.IntN(3))*time.Millisecond)
			case 3:
				return m.finish(d, broker.StateFailed)
			}
			return m.succeed(d)
		}
		workers = append(workers, func() {
			for begun := time.Now(); left.Load() > 0; {
				if time.Since(begun) > 2*patience {
					r.Errorf("%d tasks have not ended", left.Load())
					return
				}
				if err := m.Heartbeat(r.ctx, broker.Load{}); err != nil {
					r.Errorf("Heartbeat: %v", err)
					return
				}
				ds, err := m.Dequeue(r.ctx, m.queues, 1+rng.IntN(4), 20*time.Millisecond)
				if err != nil {
					r.Errorf("Dequeue: %v", err)
					return
				}
				batch := make([]broker.Settlement, len(ds))
				for i, d := range ds {
					batch[i] = work(d)
				}
				for _, d := range ds { // from here on the broker may hand them out again
					if l := d.Lane; l != nil {
						for _, u := range l.Limits {
							used.Add(-int64(u.Cost))
						}
						if l.Sequence != "" {
							running[l.Sequence[0]-'0'].Add(-1)
						}
					}
				}
				errs, err := m.Settle(r.ctx, batch)
				if err = errors.Join(err, errors.Join(errs...)); err != nil {
					r.Errorf("Settle: %v", err)
					return
				}
				for i := range batch {
					if batch[i].Verb == broker.VerbFinish {
						left.Add(-1)
					}
				}
			}
		})
	}
	r.enqueue(tasks[:n/2]...)
	together(append(workers, func() {
		for at := n / 2; at < n; at += n / 10 {
			if err := r.Broker.Enqueue(r.ctx, tasks[at:at+n/10]); err != nil {
				r.Errorf("Enqueue: %v", err)
			}
		}
	})...)
	for _, st := range r.lookup(idsOf(tasks)...) {
		if !st.State.Final() {
			r.Fatalf("task %s is %s after all tasks have ended", st.ID, st.State)
		}
	}
	r.inUse("l", 0)
}
