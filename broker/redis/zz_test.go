package redis_test
import ("testing";"time";"strconv";"os";"sort";"github.com/go-arbiter/arbiter/broker";"github.com/go-arbiter/arbiter/broker/redis";"github.com/go-arbiter/arbiter/internal/testing/redistest")
func TestZZ(t *testing.T) {
	path := redistest.Path(t)
	srv := redistest.Start(t, path)
	br, err := redis.Open(t.Context(), "redis://"+srv.Addr)
	if err != nil { t.Fatal(err) }
	ctx := t.Context()
	if os.Getenv("PID") != "" { os.WriteFile(os.Getenv("PID"), []byte(srv.Addr), 0o644) }
	for _, l := range []broker.Limit{{Name: "shared", Most: 1000}, {Name: "few", Most: 100}, {Name: "each", Most: 10}, {Name: "rate", Rate: 1000, Per: time.Second, Burst: 1000}} {
		br.SetLimit(ctx, "q", l)
	}
	shared := []broker.Charge{{Limit: "shared", Cost: 1}}
	kinds := map[string]func(i int) *broker.Lane{
		"plain": func(int) *broker.Lane { return nil },
		"one": func(int) *broker.Lane { return &broker.Lane{Key: "k", Limits: shared} },
		"keys": func(i int) *broker.Lane { return &broker.Lane{Key: strconv.Itoa(i % 1000), Limits: shared} },
		"each": func(i int) *broker.Lane { return &broker.Lane{Key: strconv.Itoa(i), Limits: shared} },
		"limits": func(i int) *broker.Lane { key := strconv.Itoa(i % 1000); return &broker.Lane{Key: key, Limits: []broker.Charge{{Limit: "each", Key: key, Cost: 1}}} },
		"few": func(i int) *broker.Lane { return &broker.Lane{Key: strconv.Itoa(i % 1000), Limits: []broker.Charge{{Limit: "few", Cost: 1}}} },
		"seqs": func(i int) *broker.Lane { return &broker.Lane{Sequence: strconv.Itoa(i % 1000)} },
	}
	c, err := br.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
	lane := kinds[os.Getenv("KIND")]
	total := 20000
	if os.Getenv("TOTAL") != "" { total, _ = strconv.Atoi(os.Getenv("TOTAL")) }
	start := time.Now()
	for n := 0; n < total; n += 1000 {
		tasks := benchTasks(1000, broker.ID{})
		for i, x := range tasks { x.Lane = lane(n+i) }
		if err := br.Enqueue(ctx, tasks); err != nil { t.Fatal(err) }
	}
	t.Log("enqueue per task", time.Since(start)/time.Duration(total))
	n := 0
	var dq, st []time.Duration
	for i := 0; n < total; i++ {
		s := time.Now()
		ds, err := c.Dequeue(ctx, []string{"q"}, 100, time.Second)
		if err != nil { t.Fatal(err) }
		dq = append(dq, time.Since(s))
		settle := make([]broker.Settlement, len(ds))
		for i, d := range ds { settle[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateSucceeded, Name: d.Name, Attempts: d.Attempt}} }
		s = time.Now()
		if _, err := c.Settle(ctx, settle); err != nil { t.Fatal(err) }
		st = append(st, time.Since(s))
		n += len(ds)
	}
	med := func(x []time.Duration) time.Duration { sort.Slice(x, func(i, j int) bool { return x[i] < x[j] }); return x[len(x)/4] }
	t.Log(os.Getenv("KIND"), "lower quartile per 100: dequeue", med(dq), "settle", med(st), "batches", len(dq))
}
