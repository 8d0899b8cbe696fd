package main

import (
	"context"
	"io"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	quiet()
	m.Run()
}

func needServer(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("the benchmark needs a redis-server: %v", err)
	}
}

// TestEverySystem runs every system through all its measures, with as little work as possible.
func TestEverySystem(t *testing.T) {
	t.Parallel()
	needServer(t)
	p, err := makePlan(config{n: 300, runs: 1, peers: "all", short: true},
		regexp.MustCompile("enqueue|drain-100|bytes|mem"))
	if err != nil {
		t.Fatal(err)
	}
	p.limit, p.samples, p.idle = 2*time.Second, 2, 50*time.Millisecond
	srvs := &servers{}
	defer srvs.stop()
	rep := p.execute(t.Context(), srvs)
	if len(rep.blocks) < 40 {
		t.Errorf("the report has only %d blocks", len(rep.blocks))
	}
	for _, b := range rep.blocks {
		if b.err != nil {
			t.Errorf("%s of %s failed: %v", b.measure.name, b.system.name, b.err)
		}
		for i, kind := range b.measure.rows {
			if sum, ok := b.row(i); ok && sum.median < 0 {
				t.Errorf("%s of %s is %v", kind.name, b.system.name, sum.median)
			}
		}
	}
}

// TestOursHasAll runs Arbiter and the bare limits through every measure.
func TestOursHasAll(t *testing.T) {
	t.Parallel()
	needServer(t)
	p, err := makePlan(config{n: 1000, runs: 1, peers: "none", short: true}, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	p.limit, p.samples, p.idle = 5*time.Second, 5, 50*time.Millisecond
	srvs := &servers{}
	defer srvs.stop()
	seen := make(map[string]bool)
	for _, b := range p.execute(t.Context(), srvs).blocks {
		if b.err != nil || len(b.notes) > 0 {
			t.Errorf("%s of %s failed: %v %v", b.measure.name, b.system.name, b.err, b.notes)
		}
		seen[b.measure.name] = seen[b.measure.name] || b.system.ours
	}
	for _, m := range measures() {
		if !seen[m.name] {
			t.Errorf("arbiter has no result for %s", m.name)
		}
	}
}

// TestGrowth runs the smallest size of each growth measure.
func TestGrowth(t *testing.T) {
	t.Parallel()
	needServer(t)
	p, err := makePlan(config{n: 500, runs: 1, growth: true, short: true},
		regexp.MustCompile(`pending=1000]|payload=(100|262144)]|slots=1]|queues=10]|minions=1]`))
	if err != nil {
		t.Fatal(err)
	}
	p.limit, p.idle = 5*time.Second, 50*time.Millisecond
	srvs := &servers{}
	defer srvs.stop()
	rep := p.execute(t.Context(), srvs)
	if len(rep.blocks) != 14 {
		t.Errorf("the report has %d blocks, want 14", len(rep.blocks))
	}
	for _, b := range rep.blocks {
		if b.err != nil || len(b.notes) > 0 {
			t.Errorf("%s of %s failed: %v %v", b.measure.name, b.system.name, b.err, b.notes)
		}
	}
}

func TestUnknownPeer(t *testing.T) {
	if _, err := makePlan(config{peers: "taskq,celery"}, regexp.MustCompile("")); err == nil {
		t.Error("an unknown peer was accepted")
	}
	p, err := makePlan(config{peers: "taskq"}, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.systems {
		if s.peer && s.name != "taskq" {
			t.Errorf("%s takes part, although all peers are excluded", s.name)
		}
	}
}

// TestPlanGoesOn checks that a system that fails or panics gets one row with an error, and that the
// plan goes on.
func TestPlanGoesOn(t *testing.T) {
	m := measure{name: "m", rows: []rowKind{{"m", "u"}}, memory: true,
		run: func(ctx context.Context, _ *trial) ([]float64, error) { <-ctx.Done(); return nil, ctx.Err() }}
	bad := func(context.Context, *server) (system, error) { panic("bad") }
	p := &plan{runs: 2, progress: io.Discard, measures: []measure{m}, systems: []contender{{name: "a", server: none, open: bad}}}
	rep := p.execute(t.Context(), &servers{})
	if len(rep.blocks) != 1 || rep.blocks[0].err == nil {
		t.Errorf("got %+v, want one block with an error", rep.blocks)
	}
}

func TestCommandsOfClients(t *testing.T) {
	for line, want := range map[string]bool{
		"+OK\r\n":                     false,
		`+1.2 [0 127.0.0.1:6] "ping"`: true,
		`+1.2 [0 lua] "zadd" "]"`:     false,
	} {
		if got := fromClient(line); got != want {
			t.Errorf("fromClient(%q) is %v, want %v", line, got, want)
		}
	}
	needServer(t)
	srvs := &servers{}
	defer srvs.stop()
	srv, err := srvs.get(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for range 10 {
			_ = pause(t.Context(), 10*time.Millisecond)
			srv.client.Eval(t.Context(), "redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[1])", []string{"k"})
		}
	}()
	n, err := srv.commands(t.Context(), 500*time.Millisecond)
	<-stop
	if err != nil || n < 10 || n > 15 {
		t.Errorf("counted %d commands (%v), want 10 and those of opening a connection", n, err)
	}
	if cpu, err := srv.cpu(t.Context()); err != nil || cpu <= 0 {
		t.Errorf("cpu returned %v, %v", cpu, err)
	}
}
