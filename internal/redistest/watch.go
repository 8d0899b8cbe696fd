package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// LongScript is a script that kept the server for too long.
type LongScript struct {
	Call    string        // the hash of its text, how many keys it has and the first of them
	At      time.Time     // when it was seen, soon after its end
	Took    time.Duration // as the server says, by the wall clock
	Stalled time.Duration // the part of it in which the machine did not let the server run, at most
	Bound   time.Duration // how long it might have taken
}

// String tells it in a line.
func (l LongScript) String() string {
	return fmt.Sprintf("a script took %v, %v of it stalled, want %v: %s", l.Took, l.Stalled, l.Bound, l.Call)
}

// ScriptWatch looks at the slow log of a server for scripts that take longer than a
// bound. A machine that is busy with other things makes every script long by the wall
// clock, so two things are taken into account: for how long the server waited for a
// processor meanwhile, and how much slower the machine computes than an ordinary one
// that is idle.
type ScriptWatch struct {
	server *Server
	most   time.Duration
	client *redis.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	long []LongScript
	seen int // scripts that were longer than the bound by the wall clock
}

const (
	watchPause    = 15 * time.Millisecond // between two looks
	paceEvery     = 25                    // looks, between two measurements of the pace
	paceMost      = 4                     // what is slower than that is told
	paceOrdinary  = 40 * time.Microsecond // what a burst takes
	watchedStalls = 10 * time.Second      // for how long stalls are remembered
)

// pace returns how much slower this machine computes at the moment than an ordinary one.
// Of some brief bursts it takes the best, which was not interrupted.
func pace() float64 {
	best := time.Hour
	x := paced.Load()
	for range 8 {
		began := time.Now()
		for range 20_000 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		best = min(best, time.Since(began))
	}
	paced.Store(x) // so that it is computed
	return min(max(float64(best)/float64(paceOrdinary), 1), paceMost)
}

var paced atomic.Uint64

// WatchScripts watches a server until Stop or the end of the test. A server that is
// killed and restarted is watched again when it is there.
func WatchScripts(t testing.TB, s *Server, most time.Duration) *ScriptWatch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &ScriptWatch{server: s, most: most, client: s.client(), stop: cancel, done: make(chan struct{})}
	go w.watch(ctx)
	t.Cleanup(func() { w.Stop() })
	return w
}

// Stop takes a last look, ends the watch and returns the scripts that were too long. It
// may be called twice.
func (w *ScriptWatch) Stop() []LongScript {
	w.stop()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.long
}

// Seen returns how many scripts were longer than the bound by the wall clock, also those
// that the machine was the cause of.
func (w *ScriptWatch) Seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// stalls is for how long a process had waited for a processor at some moments.
type stalls []stall

type stall struct {
	at     time.Time
	waited time.Duration
}

// since returns how much longer the process has waited by now than at a moment.
func (s stalls) since(at time.Time) time.Duration {
	if len(s) == 0 {
		return 0
	}
	from := s[0]
	for _, one := range s {
		if one.at.After(at) {
			break
		}
		from = one
	}
	return s[len(s)-1].waited - from.waited
}

func (w *ScriptWatch) watch(ctx context.Context) {
	defer close(w.done)
	defer func() { _ = w.client.Close() }()
	var waits stalls
	var pid int
	last := int64(-1) // the last entry that was seen
	slower := 1.0
	before := time.Now()
	for look := 0; ; look++ {
		over := ctx.Err() != nil
		now := w.server.pid()
		if now != pid { // it was restarted, and has forgotten its log
			if !w.begin() {
				if over {
					return
				}
				sleep(ctx, watchPause)
				continue
			}
			pid, last, waits, before = now, -1, nil, time.Now()
		}
		if look%paceEvery == 0 {
			slower = pace()
		}
		waits = append(waits, stall{time.Now(), waitedOf(pid)})
		entries, err := w.client.SlowLogGet(context.Background(), 128).Result()
		if err != nil {
			if over {
				return
			}
			pid = 0 // it may be gone
			sleep(ctx, watchPause)
			continue
		}
		waits = append(waits, stall{time.Now(), waitedOf(pid)})
		newest := last
		for _, e := range entries {
			newest = max(newest, e.ID)
			if e.ID <= last || len(e.Args) < 2 || !strings.HasPrefix(strings.ToLower(e.Args[0]), "eval") {
				continue
			}
			if w.server.thawedAfter(before.Add(-e.Duration)) { // it was stopped meanwhile
				continue
			}
			// It ended after the look before, so it began this much earlier at the earliest.
			w.judge(LongScript{
				Call: fmt.Sprintf("%.200q", e.Args[1:min(len(e.Args), 8)]), At: time.Now(), Took: e.Duration,
				Stalled: waits.since(before.Add(-e.Duration)), Bound: time.Duration(slower * float64(w.most)),
			})
		}
		last, before = newest, waits[len(waits)-1].at
		for len(waits) > 2 && time.Since(waits[1].at) > watchedStalls {
			waits = waits[1:]
		}
		if over {
			return
		}
		sleep(ctx, watchPause)
	}
}

// begin sets the server to log what is longer than the bound.
func (w *ScriptWatch) begin() bool {
	ctx := context.Background()
	_ = w.client.Do(ctx, "slowlog", "reset").Err()
	for _, set := range [][2]string{{"slowlog-log-slower-than", strconv.FormatInt(w.most.Microseconds(), 10)}, {"slowlog-max-len", "1000"}} {
		if w.client.ConfigSet(ctx, set[0], set[1]).Err() != nil {
			return false
		}
	}
	return true
}

// judge notes a script unless the machine explains that it was long.
func (w *ScriptWatch) judge(l LongScript) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	if l.TooLong() {
		w.long = append(w.long, l)
	}
}

// TooLong reports whether the script took too long by itself.
func (l LongScript) TooLong() bool { return l.Took-l.Stalled > l.Bound }

// waitedOf returns for how long a process's main thread was ready to run, and had no
// processor.
func waitedOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	ns, _ := strconv.ParseInt(fields[1], 10, 64)
	return time.Duration(ns)
}

// Tells reports whether the system tells for how long processes wait for a processor.
// Where it does not, long scripts can't be told from a busy machine.
func Tells() error {
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		return errors.New("the system does not tell for how long a process waits for a processor")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
