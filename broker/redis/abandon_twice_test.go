package redis_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
)

// Several processes end abandoned tasks at once, and replies are lost. Each task ends once, with
// one failure, and arrives once at its flow.
func TestAbandonedTwice(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const n = 150 // more than a page
		opts := []redis.Option{redis.RoundsEvery(time.Hour), redis.AbandonedAfter(0), redis.NoHousekeeping()}
		line := redisproxy.Start(t, rawClient(t, url).Options().Addr)
		b := open(t, url, opts...)
		raw := rawClient(t, url)
		flow := broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0), Size: n, Quorum: n, Retention: time.Hour}
		tasks, ids := make([]*broker.Task, n), make([]broker.ID, n)
		for i := range tasks {
			tasks[i] = newTask("q", func(x *broker.Task) { x.Flow.ID, x.Flow.Step = flow.ID, uint32(i) })
			ids[i] = tasks[i].ID
		}
		if err := b.OpenFlow(t.Context(), &flow, 0, ids); err != nil {
			t.Fatal(err)
		}
		enqueue(t, b, tasks...)
		parker := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
		var batch []broker.Settlement
		for _, d := range dequeue(t, parker, n, 5*time.Second, "q") {
			batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbPark, Unstarted: true, Delay: time.Millisecond})
		}
		for _, err := range settle(t, parker, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := parker.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		distant := open(t, line.URL(), opts...)
		here := open(t, url, opts...)
		for _, c := range []*redis.Broker{distant, here} {
			consume(t, c, broker.ConsumerConfig{Queues: []string{"elsewhere"}, OnAbandoned: func(d *broker.Delivery) broker.Outcome {
				return broker.Outcome{State: broker.StateFailed, Name: d.Name, Err: &broker.Failure{Message: "nobody came"}}
			}})
		}
		lost := line.Inject(redisproxy.Fault{Match: redisproxy.Script("abandon"), Do: redisproxy.CutAfter, Times: 2})
		round := func(who ...*redis.Broker) {
			var all sync.WaitGroup
			for _, c := range who {
				all.Go(func() {
					_ = raw.Del(t.Context(), "{"+redis.DefaultNamespace+":queues}:turn").Err()
					_, _ = c.Round(t.Context())
				})
			}
			all.Wait()
		}
		for end := time.Now().Add(30 * time.Second); lost.Hits() == 0; round(distant) {
			if time.Now().After(end) {
				t.Fatal("no reply was lost")
			}
		}
		for end := time.Now().Add(30 * time.Second); ; round(distant, here, distant, here) {
			left := 0
			statuses, err := b.Lookup(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range statuses {
				if st.State != broker.StateFailed {
					left++
				}
			}
			if left == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d of %d tasks have not ended", left, n)
			}
		}
		arrivals, err := b.Arrivals(t.Context(), "q", broker.MaxBatch)
		if err != nil || len(arrivals) != n {
			t.Errorf("%d arrivals, %v, want %d", len(arrivals), err, n)
		}
		p, err := b.Arrive(t.Context(), flow.ID, arrivals)
		if err != nil || p.Failed != n {
			t.Errorf("%+v, %v", p, err)
		}
		queues, err := b.Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(queues, func(q broker.QueueInfo) bool { return q.Name == "q" })
		if at < 0 || queues[at].Dead != n || queues[at].Parked != 0 {
			t.Errorf("%+v, want %d dead letters in q", queues, n)
		}
	})
}
