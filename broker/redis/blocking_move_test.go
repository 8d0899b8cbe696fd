package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// A dequeue whose context has ended takes no task afterwards, also if an ACL forbids CLIENT
// UNBLOCK, so that its blocking move can't be ended by a command.
func TestWaitThatWasGivenUp(t *testing.T) {
	t.Parallel()
	onEach(t, gaveUp)
	path := redistest.Path(t)
	if path == "" {
		return // Path has logged the reason
	}
	t.Run("without CLIENT commands", func(t *testing.T) {
		url := "redis://" + redistest.Start(t, path).Addr
		opts, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		raw := goredis.NewClient(opts)
		defer func() { _ = raw.Close() }()
		if err := raw.Do(t.Context(), "ACL", "SETUSER", "some", "on", ">secret", "~*", "&*", "+@all", "-client").Err(); err != nil {
			t.Fatal(err)
		}
		gaveUp(t, "redis://some:secret@"+opts.Addr)
	})
}

// gaveUp checks that at one server.
func gaveUp(t *testing.T, url string) {
	busy := stall.Start(t)
	b := open(t, url, redis.Lease(5*time.Second))
	first := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		got, err := first.Dequeue(ctx, []string{"q"}, 1, time.Minute)
		cancel()
		if len(got) != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Dequeue whose ctx ended: %d tasks, %v", len(got), err)
		}
		if took := time.Since(start); took > busy.Late(3*time.Second) {
			t.Fatalf("Dequeue took %v to return", took)
		}
	}
	time.Sleep(50 * time.Millisecond) // the server notices a closed connection a moment later
	task := newTask("q")
	if err := b.Enqueue(t.Context(), []*broker.Task{task}); err != nil {
		t.Fatal(err)
	}
	second := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	if got := dequeue(t, second, 1, 2*time.Second, "q"); len(got) != 1 || got[0].ID != task.ID || got[0].Attempt != 1 {
		t.Fatalf("the other consumer got %v", got)
	}
}

// With a distant server a consumer asks for many tasks at a time. It must not take a blocking
// move for one that has waited for its task, only because the round trip takes long.
func TestFarAway(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		near := open(t, url)
		line := redisproxy.Start(t, strings.TrimPrefix(url, "redis://"))
		c := consume(t, open(t, line.URL()), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		line.Slow(3*time.Millisecond, 0)
		const n = 200
		for round := range 2 {
			if round == 1 { // now the server is more distant than before
				line.Slow(10*time.Millisecond, 0)
			}
			time.AfterFunc(100*time.Millisecond, func() { _ = near.Enqueue(context.Background(), []*broker.Task{newTask("q")}) })
			dequeue(t, c, 1, 10*time.Second, "q") // the consumer has waited for this one
			tasks := make([]*broker.Task, n)
			for i := range tasks {
				tasks[i] = newTask("q")
			}
			if err := near.Enqueue(t.Context(), tasks); err != nil {
				t.Fatal(err)
			}
			calls, left := 0, n
			for ; left > 0; calls++ {
				got, err := c.Dequeue(t.Context(), []string{"q"}, 100, 10*time.Second)
				if err != nil || len(got) == 0 {
					t.Fatalf("got %d tasks, %v, and %d are missing", len(got), err, left)
				}
				left -= len(got)
			}
			if most := 4 + round*10; calls > most {
				t.Errorf("round %d: %d calls for %d tasks, want %d at most", round, calls, n, most)
			}
		}
	})
}

// A server whose writes are paused postpones blocking moves. A dequeue whose context ends in
// that time returns soon, takes no task afterwards, and does not crash the server.
func TestGiveUpWhileWritesArePaused(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	admin := s.Client()
	busy := stall.Start(t)
	b := open(t, s.URL(), redis.Lease(30*time.Second))
	first := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	// moving waits until the consumer's blocking move is at the server. It returns false if a
	// script is there instead, and is postponed.
	moving := func() bool {
		t.Helper()
		for end := time.Now().Add(busy.Late(5 * time.Second)); time.Now().Before(end); time.Sleep(time.Millisecond) {
			for line := range strings.Lines(admin.ClientList(t.Context()).Val()) {
				if blocked := strings.Contains(line, " flags=b "); blocked && strings.Contains(line, " cmd=blmove ") {
					return true
				} else if blocked {
					return false
				}
			}
		}
		t.Fatal("no blocking move is under way")
		return false
	}
	admit := func(mode ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), append([]any{"CLIENT"}, mode...)...).Err(); err != nil {
			t.Fatalf("the server is down: %v", err)
		}
	}
	// giveUp ends a dequeue while its move is at the server and writes are paused. A move that
	// has waited for its task is followed by another move, and not by a script.
	giveUp := func(pauseFirst bool, waits time.Duration) bool {
		t.Helper()
		got := make(chan int)
		go func() {
			out, _ := first.Dequeue(t.Context(), []string{"q"}, 1, time.Minute)
			got <- len(out)
		}()
		moving()
		time.Sleep(waits)
		enqueue(t, b, newTask("q"))
		if n := <-got; n != 1 {
			t.Fatalf("got %d tasks", n)
		}
		if pauseFirst {
			admit("PAUSE", 60_000, "WRITE")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := first.Dequeue(ctx, []string{"q"}, 1, time.Minute)
			ended <- err
		}()
		moves := moving()
		if !pauseFirst {
			admit("PAUSE", 60_000, "WRITE")
		}
		cancel()
		if !moves {
			admit("UNPAUSE")
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return false
		}
		start := time.Now()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Dequeue whose ctx ended: %v", err)
		}
		if took := time.Since(start); took > busy.Late(3*time.Second) {
			t.Errorf("Dequeue took %v to return", took)
		}
		admit("UNPAUSE")
		return true
	}
	for _, pauseFirst := range []bool{true, false} {
		for waits := 5 * time.Millisecond; !giveUp(pauseFirst, waits); waits *= 2 {
			if waits > time.Second {
				t.Fatal("a move that had waited was not followed by another move")
			}
		}
		task := newTask("q")
		enqueue(t, b, task)
		second := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if got := dequeue(t, second, 1, 5*time.Second, "q"); len(got) != 1 || got[0].ID != task.ID || got[0].Attempt != 1 {
			t.Fatalf("the other consumer got %v", got)
		}
	}
}

// The context of a dequeue may end at any point while the connection for its move is being
// opened. The connection belongs to the request until the request has ended. The race
// detector finds a close that comes too early.
func TestGiveUpWhileItConnects(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		for i := range 60 {
			c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
			if got, err := c.Dequeue(ctx, []string{"q"}, 1, time.Minute); len(got) > 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, %v", got, err)
			}
			cancel()
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// With a distant server the connection for moves is kept, although a move takes longer to end
// than it usually may. A new connection would take several round trips each time.
func TestMovesEndFarAway(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return // miniredis has no CLIENT UNBLOCK
	}
	line := redisproxy.Start(t, redistest.Start(t, path).Addr)
	c := consume(t, open(t, line.URL()), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
	line.Slow(300*time.Millisecond, 0)
	opened := line.Inject(redisproxy.Fault{Times: -1, Do: redisproxy.Stall, Match: func(c redisproxy.Command, _ string) bool {
		return c.Name() == "client" && len(c) > 1 && strings.EqualFold(c[1], "id")
	}})
	for n := range 3 {
		if got, err := c.Dequeue(t.Context(), []string{"q"}, 1, 5*time.Second); len(got) > 0 || err != nil {
			t.Fatalf("%v, %v", got, err)
		}
		if hits := opened.Hits(); hits != 1 {
			t.Fatalf("after dequeue %d there were %d connections for moves, want 1", n, hits)
		}
	}
}
