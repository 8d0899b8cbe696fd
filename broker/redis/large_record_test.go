package redis_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// large makes a task with a large record.
func large(change ...func(*broker.Task)) *broker.Task {
	return newTask("q", append([]func(*broker.Task){func(x *broker.Task) {
		x.Payload = bytes.Repeat(x.ID[:], 1<<10)
	}}, change...)...)
}

// recordKey returns the key of the large record of a task.
func recordKey(x *broker.Task) string {
	return fmt.Sprintf("{%s:q}:record:%x", redis.DefaultNamespace, x.ID[:])
}

// rawClient returns a client that looks at the keys of a server.
func rawClient(t *testing.T, url string) *goredis.Client {
	t.Helper()
	opts, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	opts.ReadTimeout = time.Minute // the machine may be slow, and a command may have many arguments
	c := goredis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What wantRecord wants of a large record. The first two are replies of PTTL.
const (
	absent = -2 // it does not exist
	kept   = -1 // it does not expire
	ends   = 0  // it expires
)

// wantRecord checks whether the large record of x exists and expires.
func wantRecord(t *testing.T, raw *goredis.Client, x *broker.Task, want int) {
	t.Helper()
	d, err := raw.PTTL(t.Context(), recordKey(x)).Result()
	if err != nil {
		t.Fatal(err)
	}
	if got := int(min(d, ends)); got != want {
		t.Errorf("PTTL of the record: %d, want %d (%d: it does not exist, %d: it does not expire, %d: it expires)", got, want, absent, kept, ends)
	}
}

func enqueue(t *testing.T, b broker.Broker, tasks ...*broker.Task) {
	t.Helper()
	if err := b.Enqueue(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
}

// wantPayload checks that a delivery has the whole task x.
func wantPayload(t *testing.T, d *broker.Delivery, x *broker.Task) {
	t.Helper()
	if d.ID != x.ID || d.Err != nil || d.Name != x.Name || !bytes.Equal(d.Payload, x.Payload) {
		t.Fatalf("got task %s %s with %d bytes, %v, want %s %s with %d bytes", d.Name, d.ID, len(d.Payload), d.Err, x.Name, x.ID, len(x.Payload))
	}
}

// The stub in the list and the record under its key have the bytes that docs/wire.md gives.
func TestLargeRecordStub(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw, x := open(t, url), rawClient(t, url), large()
		enqueue(t, b, x)
		record := wire.AppendRecord(nil, x)
		stub := append([]byte{0x82}, record[1:wire.HeadSize]...)
		stub = binary.BigEndian.AppendUint32(stub, uint32(len(record)))
		if got := raw.LRange(t.Context(), "{"+redis.DefaultNamespace+":q}:ready", 0, -1).Val(); !slices.Equal(got, []string{string(stub)}) {
			t.Errorf("stub %q, want %q", got, stub)
		}
		if got := raw.Get(t.Context(), recordKey(x)).Val(); got != string(record) {
			t.Errorf("a record of %d bytes, want %d", len(got), len(record))
		}
	})
}

// A sender that dies before its script runs leaves a record. A later task with the same id does
// not get the content of that record, and repeating the enqueue never changes anything.
func TestLargeRecordSenderDies(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		same := func(x *broker.Task) []byte { return wire.AppendRecord(nil, x) }
		foreign := func(x *broker.Task) []byte {
			return wire.AppendRecord(nil, large(func(y *broker.Task) { y.ID, y.Name = x.ID, "other" }))
		}
		for i, left := range []func(*broker.Task) []byte{same, foreign, same, foreign} {
			x := large(func(x *broker.Task) { x.Delay = time.Duration(i/2) * time.Millisecond })
			if err := raw.Set(t.Context(), recordKey(x), left(x), time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				enqueue(t, b, x)
				wantRecord(t, raw, x, kept)
			}
			other := *x
			other.Payload = bytes.Repeat([]byte("other"), 10_000)
			var dup *broker.DuplicateError
			if err := b.Enqueue(t.Context(), []*broker.Task{&other}); !errors.As(err, &dup) {
				t.Errorf("the same id with other content: %v", err)
			}
			d := dequeue(t, c, 1, time.Second, "q")[0]
			wantPayload(t, d, x)
			for range 2 {
				if errs := settle(t, c, succeed(d, "1")); errs[0] != nil {
					t.Fatal(errs[0])
				}
				wantRecord(t, raw, x, absent)
			}
			enqueue(t, b, x)
			wantRecord(t, raw, x, ends)
			if got, err := c.Dequeue(t.Context(), []string{"q"}, 1, 0); err != nil || len(got) > 0 {
				t.Errorf("the repeated enqueue made a second task: %v, %v", got, err)
			}
		}
	})
}

// A task whose large record was evicted is delivered with an error that says so. It becomes a
// dead letter and is not delivered again.
func TestLargeRecordIsLost(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw, x := open(t, url), rawClient(t, url), large()
		enqueue(t, b, x)
		raw.Del(t.Context(), recordKey(x))
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		d := dequeue(t, c, 1, time.Second, "q")[0]
		if d.ID != x.ID || d.Attempt != 1 || !errors.Is(d.Err, broker.ErrMalformed) || !strings.Contains(d.Err.Error(), x.ID.String()) {
			t.Fatalf("got task %s, attempt %d, error %v", d.ID, d.Attempt, d.Err)
		}
		s := succeed(d, "")
		s.Outcome.State = broker.StateFailed
		if errs := settle(t, c, s); errs[0] != nil {
			t.Fatal(errs[0])
		}
		letters, _, err := b.DeadLetters(t.Context(), "q", "", 10)
		if err != nil || len(letters) != 1 || letters[0].Task.ID != x.ID {
			t.Fatalf("dead letters %v, %v", letters, err)
		}
		errs, err := b.Requeue(t.Context(), []broker.ID{x.ID})
		if err != nil || !errors.Is(errs[0], broker.ErrMalformed) {
			t.Errorf("requeue: %v, %v", errs, err)
		}
	})
}

// A large record stays as long as its task: through retries and the death of a minion, and as long
// as a dead letter is kept.
func TestLargeRecordStays(t *testing.T) {
	t.Parallel()
	const lease = time.Second // of the minion that dies
	onEach(t, func(t *testing.T, url string) {
		b, raw, x := open(t, url), rawClient(t, url), large()
		enqueue(t, b, x)
		dying := consume(t, open(t, url, redis.Lease(lease)), broker.ConsumerConfig{Queues: []string{"q"}})
		wantPayload(t, dequeue(t, dying, 1, time.Second, "q")[0], x)
		time.Sleep(lease + lease/4)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		d := dequeue(t, c, 1, time.Second, "q")[0]
		wantPayload(t, d, x)
		if d.Recoveries != 1 {
			t.Errorf("%d recoveries, want 1", d.Recoveries)
		}
		for _, s := range []broker.Settlement{
			{Verb: broker.VerbRetry, Delay: time.Millisecond}, {Verb: broker.VerbSnooze}, {Verb: broker.VerbGiveBack},
		} {
			s.Delivery = d
			if errs := settle(t, c, s); errs[0] != nil {
				t.Fatal(errs[0])
			}
			wantRecord(t, raw, x, kept)
			d = dequeue(t, c, 1, time.Second, "q")[0]
			wantPayload(t, d, x)
		}
		s := succeed(d, "")
		s.Outcome.State = broker.StateFailed
		if errs := settle(t, c, s); errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantRecord(t, raw, x, ends)
		letters, _, err := b.DeadLetters(t.Context(), "q", "", 10)
		if err != nil || len(letters) != 1 || !bytes.Equal(letters[0].Task.Payload, x.Payload) {
			t.Fatalf("%d dead letters, %v", len(letters), err)
		}
		if errs, err := b.Requeue(t.Context(), []broker.ID{x.ID}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		wantRecord(t, raw, x, kept)
		d = dequeue(t, c, 1, time.Second, "q")[0]
		wantPayload(t, d, x)
		if errs := settle(t, c, succeed(d, "")); errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantRecord(t, raw, x, absent)
	})
}

// A cancel removes the large record of a task that waits. That of a running task stays until its
// minion settles the task.
func TestLargeRecordCancel(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		running, ready, later := large(), large(), large(func(x *broker.Task) { x.Delay = time.Hour })
		enqueue(t, b, running, ready, later)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		d := dequeue(t, c, 1, time.Second, "q")[0]
		if _, err := b.Cancel(t.Context(), []broker.ID{running.ID, ready.ID, later.ID}); err != nil {
			t.Fatal(err)
		}
		wantRecord(t, raw, running, kept)
		wantRecord(t, raw, ready, absent)
		wantRecord(t, raw, later, absent)
		if errs := settle(t, c, broker.Settlement{Delivery: d, Verb: broker.VerbRetry}); errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantRecord(t, raw, running, absent)
		if got, err := c.Dequeue(t.Context(), []string{"q"}, 10, 0); err != nil || len(got) > 0 {
			t.Errorf("cancelled tasks were handed out: %v, %v", got, err)
		}
	})
}

// noRecords is a hook of a client with which the reads of large records fail while now is true.
type noRecords struct{ now atomic.Bool }

func (*noRecords) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (*noRecords) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *noRecords) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if h.now.Load() && cmds[0].Name() == "get" {
			for _, cmd := range cmds {
				cmd.SetErr(io.ErrUnexpectedEOF)
			}
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmds)
	}
}

// A consumer that was handed a stub and can't read its record gets an error. Later it gets the
// same attempt, once.
func TestLargeRecordReadFails(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		rdb, cut := rawClient(t, url), &noRecords{}
		rdb.AddHook(cut)
		b, err := redis.New(rdb, unhurried)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		for name, wait := range map[string]time.Duration{"script": 0, "blocking move": time.Second} {
			cut.now.Store(true)
			x := large()
			if wait > 0 {
				time.AfterFunc(100*time.Millisecond, func() { _ = b.Enqueue(t.Context(), []*broker.Task{x}) })
			} else {
				enqueue(t, b, x)
			}
			for range 2 {
				if got, err := c.Dequeue(t.Context(), []string{"q"}, 1, wait); !errors.Is(err, broker.ErrUnavailable) || len(got) > 0 {
					t.Fatalf("%s: %d tasks, %v", name, len(got), err)
				}
			}
			cut.now.Store(false)
			d := dequeue(t, c, 1, time.Second, "q")[0]
			wantPayload(t, d, x)
			if d.Attempt != 1 {
				t.Errorf("%s: attempt %d, want 1", name, d.Attempt)
			}
			if errs := settle(t, c, succeed(d, "")); errs[0] != nil {
				t.Fatal(errs[0])
			}
			wantRecord(t, rdb, x, absent)
		}
	})
}

// A dequeue hands out no more bytes than a batch may have. The other tasks keep their order.
func TestLargeRecordBatch(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		var tasks []*broker.Task
		for range 12 {
			tasks = append(tasks, large(func(x *broker.Task) { x.Payload = make([]byte, 900<<10) }))
		}
		enqueue(t, b, tasks...)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		for len(tasks) > 0 {
			got, err := c.Dequeue(t.Context(), []string{"q"}, 100, 0)
			if err != nil || len(got) == 0 || len(got) > 5 {
				t.Fatalf("%d tasks, %v, want 1 to 5", len(got), err)
			}
			for i, d := range got {
				wantPayload(t, d, tasks[i])
			}
			tasks = tasks[len(got):]
		}
	})
}

// A server that is out of memory refuses a new large task and leaves nothing of it. Tasks that it
// has are still delivered and settled.
func TestLargeRecordServerFull(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return // Path has said why
	}
	url := "redis://" + redistest.Start(t, path).Addr
	b, raw, x, late := open(t, url), rawClient(t, url), large(), large()
	enqueue(t, b, x)
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	if err := raw.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.Enqueue(t.Context(), []*broker.Task{late}); !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate) {
		t.Errorf("enqueue: %v", err)
	}
	wantRecord(t, raw, late, absent)
	d := dequeue(t, c, 1, time.Second, "q")[0]
	wantPayload(t, d, x)
	if errs := settle(t, c, succeed(d, "1")); errs[0] != nil {
		t.Fatal(errs[0])
	}
	wantRecord(t, raw, x, absent)
}
