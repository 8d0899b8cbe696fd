package redis_test

import (
	"encoding/hex"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// wholeHashes starts a server that keeps hashes of up to 20,000 fields in one piece, so that
// HSCAN returns all of such a hash as a single page. The URL is "" if there is no
// redis-server on this machine.
func wholeHashes(t *testing.T) string {
	t.Helper()
	path := redistest.Path(t)
	if path == "" {
		return "" // Path has logged the reason
	}
	return "redis://" + redistest.Start(t, path, "--hash-max-ziplist-entries", "20000", "--hash-max-ziplist-value", "4096").Addr
}

// The tasks of a dead minion come back, also if HSCAN returns many thousands at once. A
// command in a script can have only some thousands of arguments.
func TestDeadMinionOfWholeHashes(t *testing.T) {
	t.Parallel()
	const n = 9000
	url := wholeHashes(t)
	if url == "" {
		return
	}
	b, raw, ctx := open(t, url), rawClient(t, url), t.Context()
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	dead := broker.NewID(broker.KindParty, "", 0)
	base := "{" + redis.DefaultNamespace + ":q}:"
	flight := base + "flight:" + hex.EncodeToString(dead[:])
	pairs := make([]any, 0, 2*n)
	for range n {
		x := newTask("q")
		pairs = append(pairs, x.ID[:], wire.AppendRecord(nil, x))
	}
	if err := raw.HSet(ctx, flight, pairs...).Err(); err != nil {
		t.Fatal(err)
	}
	if as := raw.ObjectEncoding(ctx, flight).Val(); as == "hashtable" {
		t.Fatal("the server keeps the flight hash as a", as)
	}
	if err := raw.ZAdd(ctx, base+"minions", goredis.Z{Score: 1, Member: string(dead[:])}).Err(); err != nil {
		t.Fatal(err)
	}
	for try := 0; raw.Exists(ctx, flight).Val() == 1; try++ {
		if try > 20 {
			t.Fatal("the dead minion's tasks were not given back")
		}
		if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
			t.Fatal(err)
		}
	}
	if back := raw.LLen(ctx, base+"ready").Val(); back != n {
		t.Fatalf("%d tasks came back, want %d", back, n)
	}
}

// DeadLetters returns pages of about the limit. Each dead letter that stays is listed once,
// although others are requeued between the pages.
func TestDeadLettersOfWholeHashes(t *testing.T) {
	t.Parallel()
	const n, limit = 300, 20
	url := wholeHashes(t)
	if url == "" {
		return
	}
	b := open(t, url)
	var tasks []*broker.Task
	for range n {
		tasks = append(tasks, newTask("q"))
	}
	enqueue(t, b, tasks...)
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
	var batch []broker.Settlement
	for _, d := range dequeue(t, c, n, 5e9, "q") {
		s := succeed(d, "")
		s.Outcome.State, s.Outcome.Result, s.Outcome.Err = broker.StateFailed, nil, &broker.Failure{Message: "no"}
		batch = append(batch, s)
	}
	settle(t, c, batch...)
	seen := map[broker.ID]int{}
	for after, pages := "", 0; ; pages++ {
		letters, next, err := b.DeadLetters(t.Context(), "q", after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(letters) > 2*limit {
			t.Fatalf("a page has %d letters, the limit was %d", len(letters), limit)
		}
		for i, l := range letters {
			if seen[l.Task.ID]++; i%2 == 0 {
				if errs, err := b.Requeue(t.Context(), []broker.ID{l.Task.ID}); err != nil || errs[0] != nil {
					t.Fatal(errs, err)
				}
			}
		}
		if after = next; after == "" {
			break
		}
		if pages > n {
			t.Fatal("the pages do not end")
		}
	}
	for _, x := range tasks {
		if seen[x.ID] != 1 {
			t.Fatalf("a dead letter was listed %d times", seen[x.ID])
		}
	}
}
