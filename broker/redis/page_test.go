package redis_test

import (
	"encoding/hex"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

// wholeHashes starts a server that keeps hashes of 20,000 fields in one piece, so that
// it returns all of one as a single page. There is no URL where there is no server.
func wholeHashes(t *testing.T) string {
	t.Helper()
	path := redistest.Path(t)
	if path == "" {
		return "" // Path has said why
	}
	return "redis://" + redistest.Start(t, path, "--hash-max-ziplist-entries", "20000", "--hash-max-ziplist-value", "4096").Addr
}

// What a minion held comes back, however much of it the server returns at once: a call
// in a script takes no more than some thousands of arguments.
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
		pairs = append(pairs, x.ID[:], broker.AppendRecord(nil, x))
	}
	if err := raw.HSet(ctx, flight, pairs...).Err(); err != nil {
		t.Fatal(err)
	}
	if as := raw.ObjectEncoding(ctx, flight).Val(); as == "hashtable" {
		t.Fatal("the server keeps what is in flight as a", as)
	}
	if err := raw.ZAdd(ctx, base+"minions", goredis.Z{Score: 1, Member: string(dead[:])}).Err(); err != nil {
		t.Fatal(err)
	}
	for try := 0; raw.Exists(ctx, flight).Val() == 1; try++ {
		if try > 20 {
			t.Fatal("what the dead minion held is still there")
		}
		if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
			t.Fatal(err)
		}
	}
	if back := raw.LLen(ctx, base+"ready").Val(); back != n {
		t.Fatalf("%d tasks came back, want %d", back, n)
	}
}

// Dead letters come in pages of about the size that was asked for, each of those that
// stay once, although others are requeued meanwhile.
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
			t.Fatalf("a page of %d letters for a limit of %d", len(letters), limit)
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
			t.Fatal("there is no end of the pages")
		}
	}
	for _, x := range tasks {
		if seen[x.ID] != 1 {
			t.Fatalf("a dead letter was listed %d times", seen[x.ID])
		}
	}
}
