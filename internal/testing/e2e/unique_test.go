//go:build unix

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/task"
)

var (
	uniqueCalls = flag.Int("unique.calls", testform.Pick(4_000, 100_000), "how many calls TestUniqueRace sends by each rule")
	uniqueKeys  = flag.Int("unique.keys", testform.Pick(100, 1_000), "how many unique keys they have")
)

// uniqueSenders is the number of senders, each with its own connections. In the long form each is a
// process.
const uniqueSenders = 8

// Several senders send tasks with the same unique keys, while minions that run them are killed. With
// windows, exactly one task of each key runs, and all callers get its result. With the other rules a
// key has one holder at a time, and no task is replaced while it runs. Then nothing is left of keys,
// limits and lines in the store.
func TestUniqueRace(t *testing.T) {
	besideOthers(t)
	for _, rule := range []string{"windows", "lanes", "conflicts"} {
		t.Run(rule, func(t *testing.T) {
			r, s := onServer(t)
			if r == nil {
				return
			}
			raw := s.Client()
			u := &uniqueRace{rig: r, c: uniqueConfig{config: r.cfg, Keys: *uniqueKeys, Calls: *uniqueCalls / uniqueSenders, Rule: rule}, raw: raw, killed: make(map[int]bool)}
			u.c.Slots = 20
			if err := r.arb.SetLimit(t.Context(), task.DefaultQueue, limit.Concurrency("l", 3)); err != nil {
				t.Fatal(err)
			}
			u.run()
		})
	}
}

type uniqueRace struct {
	*rig
	c      uniqueConfig
	raw    *goredis.Client
	killed map[int]bool // the minions that were killed, by their process ids
}

func (u *uniqueRace) run() {
	u.Helper()
	minions := []*proc.Process{u.start(), u.start(), u.start()}
	over := make(chan []string, 1)
	go func() { over <- u.senders() }()
	// A sender that dies leaves tasks, which keep their keys until they have ended.
	dying := u.c
	dying.Sender = 99
	p := proc.Start(u, "unique sender", dying)
	p.Prints("sent", patience)
	p.Kill()

	rnd := rand.New(rand.NewPCG(1, 1))
	var lines []string
	for lines == nil {
		before := u.noted()
		u.eventually("some tasks have run, or all senders have ended", func() bool {
			select {
			case lines = <-over:
				return true
			default:
				return u.noted() >= before+u.c.Keys
			}
		})
		i := rnd.IntN(len(minions))
		u.killed[minions[i].PID] = true
		minions[i].Kill()
		minions[i] = u.start()
	}
	u.drained()
	if u.c.Rule == "windows" {
		u.oneEach(lines)
		u.freeAll()
	} else {
		u.oneAtATime()
	}
	u.replacedWhileWaiting(lines)
	u.nothingIsLeft()
}

// start starts a minion in a process of its own.
func (u *uniqueRace) start() *proc.Process {
	u.Helper()
	p := proc.Start(u, "unique minion", u.c)
	p.WaitFor(u, "ready\n")
	return p
}

// senders runs all senders until they have ended, and returns the lines that they have printed.
func (u *uniqueRace) senders() []string {
	var mu sync.Mutex
	var lines []string
	var wg sync.WaitGroup
	for i := range uniqueSenders {
		c := u.c
		c.Sender = uint64(i)
		wg.Go(func() {
			var out string
			if testform.Long() {
				p := proc.Start(u, "unique sender", c)
				if status := p.Wait(u); status != 0 {
					u.Errorf("sender %d ended with status %d", i, status)
				}
				out = p.Output()
			} else {
				var text strings.Builder
				ctx, cancel := context.WithTimeout(u.Context(), patience)
				defer cancel()
				if err := c.send(ctx, u.logs.logger(), &text); err != nil {
					u.Errorf("sender %d: %v", i, err)
				}
				out = text.String()
			}
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, strings.Split(out, "\n")...)
		})
	}
	wg.Wait()
	return lines
}

// drained waits until no task waits or runs, also none of the sender that was killed.
func (u *uniqueRace) drained() {
	u.Helper()
	ctx := u.Context()
	u.eventually("all tasks have ended", func() bool {
		for _, name := range u.names() {
			n := int64(0)
			switch part := partOf(name); {
			case part == "ready" || part == "held" || strings.HasPrefix(part, "claim:"):
				for _, msg := range u.raw.LRange(ctx, name, 0, -1).Val() { // a fence is no list
					if msg != "!" { // a token
						n++
					}
				}
			case part == "later" || strings.HasPrefix(part, "flight:"):
				n = u.raw.HLen(ctx, name).Val()
			}
			if n > 0 {
				return false
			}
		}
		return true
	})
}

// names returns the names of all keys of the server.
func (u *uniqueRace) names() []string {
	u.Helper()
	names, err := u.raw.Keys(u.Context(), "*").Result()
	if err != nil {
		u.Fatal(err)
	}
	return names
}

// partOf returns the part of a key's name behind its queue.
func partOf(name string) string {
	_, part, _ := strings.Cut(name, "}:")
	return part
}

// nothingIsLeft checks that the store has nothing of unique keys, and nothing of lines and limits but
// the definition of the limit.
func (u *uniqueRace) nothingIsLeft() {
	u.Helper()
	// The server removes a window itself, at most two seconds after it has ended.
	u.eventually("the windows have expired", func() bool {
		return !slices.ContainsFunc(u.names(), func(name string) bool { return strings.HasPrefix(partOf(name), "window:") })
	})
	for _, name := range u.names() {
		switch partOf(name) {
		case "unique", "holders", "lanes", "lined", "lkeys", "open", "waits", "opening", "charges", "rates":
			u.Errorf("this is left: %s, a %s with %q", name, u.raw.Type(u.Context(), name).Val(), u.raw.HGetAll(u.Context(), name).Val())
		}
	}
}

// oneEach checks that one task of each key has run, and that all callers got the same one.
func (u *uniqueRace) oneEach(lines []string) {
	u.Helper()
	holders := make(map[string]string)
	calls := 0
	for _, l := range lines {
		var key, id string
		var accepted, refused int
		if _, err := fmt.Sscanf(l, "holder %s %s", &key, &id); err == nil {
			if old, known := holders[key]; known && old != id {
				u.Errorf("key %s had the tasks %s and %s", key, old, id)
			}
			holders[key] = id
		} else if _, err := fmt.Sscanf(l, "accepted %d refused %d", &accepted, &refused); err == nil {
			calls += accepted
			if refused > 0 {
				u.Errorf("%d calls were refused, and not joined", refused)
			}
		}
	}
	ran := make(map[string]bool)
	for _, e := range u.cfg.Ledger.read(u) {
		ran[e.ID] = true
	}
	if len(holders) != u.c.Keys || len(ran) != u.c.Keys || calls != u.c.Calls*uniqueSenders {
		u.Errorf("%d calls got the results of %d tasks, and %d tasks ran; want %d calls and %d tasks",
			calls, len(holders), len(ran), u.c.Calls*uniqueSenders, u.c.Keys)
	}
}

// freeAll frees all keys, whose windows last longer than the test.
func (u *uniqueRace) freeAll() {
	u.Helper()
	for key := range u.c.Keys {
		st, err := u.arb.FreeKey(u.Context(), keyedTask.Bind(keyedArgs{Key: key}))
		if err != nil || st.Holder.IsZero() || st.Until.IsZero() {
			u.Fatalf("key %d: %+v, %v", key, st, err)
		}
	}
}

// oneAtATime checks in the ledger that no two tasks ran at the same time with one key, unless it is
// free when they start.
func (u *uniqueRace) oneAtATime() {
	u.Helper()
	running := make(map[string]line)
	for _, e := range u.cfg.Ledger.read(u) {
		what, key, _ := strings.Cut(e.Event, "/")
		if n, err := strconv.Atoi(key); err != nil {
			u.Fatal(err)
		} else if u.c.Rule == "conflicts" && n%2 == 0 {
			continue
		}
		if other, busy := running[key]; busy && other.ID != e.ID && !u.killed[other.PID] {
			u.Errorf("task %s has started while task %s with the same key %s had not ended", e.ID, other.ID, key)
		}
		running[key] = e
		if what != "start" {
			delete(running, key)
		}
	}
	for key, e := range running {
		if !u.killed[e.PID] { // else it was replaced when it waited again
			u.Errorf("task %s with the key %s has started and not ended", e.ID, key)
		}
	}
}

// replacedWhileWaiting checks that no task was replaced while it ran: if it has started at all, its
// minion was killed, or its attempt was cut off.
func (u *uniqueRace) replacedWhileWaiting(lines []string) {
	u.Helper()
	started := make(map[string]line) // the last line of each task
	for _, e := range u.cfg.Ledger.read(u) {
		started[e.ID] = e
	}
	replaced := 0
	for _, l := range lines {
		if id, is := strings.CutPrefix(l, "replaced "); is {
			replaced++
			if e, has := started[id]; has && !u.killed[e.PID] && !strings.HasPrefix(e.Event, "cut/") {
				u.Errorf("task %s was replaced, and the last of it is %+v", id, e)
			}
		}
	}
	u.Logf("%d tasks ran, %d were replaced", len(started), replaced)
	if u.c.Rule == "conflicts" && replaced == 0 {
		u.Error("no task was replaced, so the test says nothing about that")
	}
}

// noted returns about how many lines the ledger has. It is asked so often that it does not read them.
func (u *uniqueRace) noted() int {
	u.Helper()
	info, err := os.Stat(string(u.cfg.Ledger))
	if err != nil {
		return 0 // there is none yet
	}
	return int(info.Size()) / len("start/123 01a22d7a-265a-7ef3-a600-933fbb87db00 1 12345\n")
}
