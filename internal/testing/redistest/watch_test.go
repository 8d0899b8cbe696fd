package redistest

import (
	"testing"
	"time"
)

// The watch reports a script that computes for a long time, also after a restart of the server, and
// no other script.
func TestScriptWatch(t *testing.T) {
	t.Parallel()
	path := Path(t)
	if path == "" {
		return
	}
	if err := Tells(); err != nil {
		t.Log(err)
		return
	}
	server := Start(t, path)
	w := WatchScripts(t, server, 20*time.Millisecond)
	run := func(rounds int) {
		t.Helper()
		c := server.client()
		defer func() { _ = c.Close() }()
		if err := c.Eval(t.Context(), "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end return n", nil, rounds).Err(); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(seen int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); w.Seen() < seen; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the watch has seen %d scripts, want %d", w.Seen(), seen)
			}
		}
	}
	const brief, long = 1000, 20_000_000
	began := func() { // waits until the watch has configured the slow log
		t.Helper()
		c := server.client()
		defer func() { _ = c.Close() }()
		for end := time.Now().Add(10 * time.Second); c.ConfigGet(t.Context(), "slowlog-max-len").Val()["slowlog-max-len"] != "1000"; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the watch has not configured the slow log")
			}
		}
	}
	began()
	for range 20 {
		run(brief)
	}
	run(long)
	wait(1)
	server.Kill()
	server.Restart()
	began()
	run(brief)
	run(long)
	if found := w.Stop(); len(found) < 2 || w.Seen() > 5 {
		t.Errorf("the watch has seen %d scripts; the ones that took too long are %v", w.Seen(), found)
	}
}

// The time in which the server had no processor does not count against its scripts.
func TestScriptWatchStalls(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	waits := stalls{{now.Add(-ms(300)), ms(10)}, {now.Add(-ms(200)), ms(15)}, {now.Add(-ms(100)), ms(40)}, {now, ms(90)}}
	for _, c := range []struct {
		took, since, bound int
		want               bool
	}{
		{60, 150, 20, false}, // of the last 200 ms the server waited for 75
		{96, 150, 20, true},
		{60, 50, 20, false},
		{71, 50, 20, true},
		{71, 50, 40, false},
		{500, 1000, 20, true},
	} {
		l := LongScript{Took: ms(c.took), Stalled: waits.since(now.Add(-ms(c.since))), Bound: ms(c.bound)}
		if l.TooLong() != c.want {
			t.Errorf("%+v: %v", c, l)
		}
	}
}
