package redisproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server with two clients: one that is connected directly, and one through a proxy.
type rig struct {
	direct, through *redis.Client
	proxy           *redisproxy.Proxy
}

func newRig(t *testing.T) *rig {
	t.Helper()
	server := miniredis.RunT(t)
	p := redisproxy.Start(t, server.Addr())
	r := &rig{proxy: p}
	client := func(addr string) *redis.Client {
		c := redis.NewClient(&redis.Options{
			Addr: addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 1, ReadTimeout: waits,
		})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	r.direct, r.through = client(server.Addr()), client(p.Addr)
	return r
}

// count returns the counter that the tests increment, as the server has it.
func (r *rig) count(t *testing.T) int {
	t.Helper()
	n, err := r.direct.Get(t.Context(), "n").Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return n
}

// waits is how long the clients wait for a reply.
const waits = 2 * time.Second

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault redisproxy.Fault
		fails bool
		count int
		least time.Duration
	}{
		"cut before":      {redisproxy.Fault{Do: redisproxy.CutBefore}, true, 0, 0},
		"cut after":       {redisproxy.Fault{Do: redisproxy.CutAfter}, true, 1, 0},
		"half open":       {redisproxy.Fault{Do: redisproxy.HalfOpen}, true, 0, waits},
		"half open after": {redisproxy.Fault{Do: redisproxy.HalfOpenAfter}, true, 1, waits},
		"stall":           {redisproxy.Fault{Do: redisproxy.Stall, Hold: 50 * time.Millisecond}, false, 1, 50 * time.Millisecond},
		"stall reply":     {redisproxy.Fault{Do: redisproxy.StallReply, Hold: 50 * time.Millisecond}, false, 1, 50 * time.Millisecond},
		"skipped":         {redisproxy.Fault{Do: redisproxy.CutBefore, Skip: 1}, false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.fault.Match = redisproxy.Named("incr")
			in := r.proxy.Inject(c.fault)
			began := time.Now()
			err := r.through.Incr(t.Context(), "n").Err()
			if (err != nil) != c.fails || time.Since(began) < c.least {
				t.Errorf("INCR returned %v after %v", err, time.Since(began))
			}
			if n := r.count(t); n != c.count {
				t.Errorf("the counter on the server is %d, want %d", n, c.count)
			}
			hits := 1 - c.fault.Skip
			if in.Hits() != hits {
				t.Errorf("the fault has %d hits, want %d", in.Hits(), hits)
			}
			if hits == 1 {
				<-in.Done()
				if err := r.through.Incr(t.Context(), "n").Err(); err != nil {
					t.Errorf("INCR after the fault returned %v", err)
				}
			}
		})
	}
}

// For a fault in the middle of a pipeline, the earlier commands and their replies pass, and the
// later commands do not.
func TestPipeline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.proxy.Inject(redisproxy.Fault{Match: redisproxy.Named("incr"), Skip: 1, Do: redisproxy.CutAfter})
	c, err := net.Dial("tcp", r.proxy.Addr) // the client library hides replies that came before an error
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, strings.Repeat("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", 4)); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(c); string(got) != ":1\r\n" {
		t.Errorf("replies %q", got)
	}
	if n := r.count(t); n != 2 {
		t.Errorf("the counter on the server is %d, want 2", n)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	add := redis.NewScript("-- add_one counts.\nreturn redis.call('INCR', KEYS[1])")
	other := redis.NewScript("-- additional does nothing.\nreturn 1")
	for _, s := range []*redis.Script{add, other} {
		if err := s.Run(ctx, r.through, []string{"n"}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	in := r.proxy.Inject(redisproxy.Fault{Match: redisproxy.Script("add").WithKey("n"), Do: redisproxy.CutAfter, Times: -1})
	if err := other.EvalSha(ctx, r.through, []string{"n"}).Err(); err != nil {
		t.Error(err)
	}
	if err := add.EvalSha(ctx, r.through, []string{"n"}).Err(); err == nil {
		t.Error("the reply of a struck script arrived")
	}
	if err := add.EvalSha(ctx, r.through, []string{"m"}).Err(); err != nil {
		t.Error(err)
	}
	in.Remove()
	in.Remove()
	if n, err := add.EvalSha(ctx, r.through, []string{"n"}).Int(); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if in.Hits() != 1 {
		t.Errorf("%d hits", in.Hits())
	}
}

func TestPubSub(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ps := r.through.Subscribe(t.Context(), "ch")
	defer func() { _ = ps.Close() }()
	if _, err := ps.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1<<20)
	if err := r.direct.Publish(t.Context(), "ch", long).Err(); err != nil {
		t.Fatal(err)
	}
	if msg, err := ps.ReceiveMessage(t.Context()); err != nil || msg.Payload != long {
		t.Fatal("the message was changed or lost", err)
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := context.Background()
	incr := func() error { return r.through.Incr(ctx, "n").Err() }
	if err := incr(); err != nil {
		t.Fatal(err)
	}
	if n := r.proxy.Cut(); n != 1 {
		t.Errorf("Cut closed %d connections, want 1", n)
	}
	r.proxy.Refuse(true)
	if err := incr(); err == nil {
		t.Error("a command succeeded although connections are refused")
	}
	r.proxy.Refuse(false)
	if err := incr(); err != nil {
		_ = incr() // the first command after a cut may use the dead connection
	}
	r.proxy.Freeze(true)
	var timeout net.Error
	if err := incr(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("frozen: %v", err)
	}
	r.proxy.Freeze(false)
	if err := incr(); err != nil {
		t.Errorf("INCR after the end of Freeze returned %v", err)
	}
	if r.proxy.Commands() < 4 {
		t.Errorf("%d commands", r.proxy.Commands())
	}
}

// On a slow line each command and each reply is delayed. Several that are sent together are delayed
// only once. Large data takes longer.
func TestSlow(t *testing.T) {
	t.Parallel()
	const late = 40 * time.Millisecond
	r := newRig(t)
	ctx := t.Context()
	took := func(do func(redis.Cmdable)) time.Duration {
		t.Helper()
		began := time.Now()
		if _, err := r.through.Pipelined(ctx, func(p redis.Pipeliner) error { do(p); return nil }); err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}
	small := func(c redis.Cmdable) {
		for range 10 {
			c.Incr(ctx, "n")
		}
	}
	took(small)                                                  // opens the connection
	soon := func(limit time.Duration) (quickest time.Duration) { // the best of several tries, because the machine may stall
		quickest = took(small)
		for n := 0; n < 20 && quickest > limit; n++ {
			quickest = min(quickest, took(small))
		}
		return quickest
	}
	r.proxy.Slow(late, 0)
	if d := soon(8 * late); d < 2*late || d > 8*late {
		t.Errorf("ten commands together took %v", d)
	}
	r.proxy.Slow(0, 100_000)
	if d := took(func(c redis.Cmdable) { c.Set(ctx, "large", strings.Repeat("x", 10_000), 0) }); d < 100*time.Millisecond {
		t.Errorf("10,000 bytes at 100,000 bytes a second took %v", d)
	}
	r.proxy.Slow(0, 0)
	if d := soon(late); d > late {
		t.Errorf("after Slow(0, 0) ten commands took %v", d)
	}
}
