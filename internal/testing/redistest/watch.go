package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// LongScript is a run of a script that kept the server busy for too long.
type LongScript struct {
	Call    string        // hash of the script, number of its keys, and the first keys
	At      time.Time     // when the watch saw it, soon after its end
	Took    time.Duration // its time by the slow log, which is wall-clock time
	Stalled time.Duration // upper bound of the part in which the machine did not let the server run
	Bound   time.Duration // how long it was allowed to take
}

// String describes the run in one line.
func (l LongScript) String() string {
	return fmt.Sprintf("a script took %v, of which the machine stalled for %v; want at most %v: %s", l.Took, l.Stalled, l.Bound, l.Call)
}

// ScriptWatch reads the slow log of a server, and finds scripts that take longer than a bound. On a
// busy machine every script takes long by the wall clock. So the watch subtracts the time that the
// server waited for a processor, and raises the bound if the machine is slower than an ordinary one
// (see [pace]).
type ScriptWatch struct {
	server *Server
	most   time.Duration
	client *redis.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	long []LongScript
	seen int // number of runs longer than the bound by the wall clock
}

const (
	watchPause    = 15 * time.Millisecond // time between two reads of the slow log
	paceEvery     = 25                    // number of reads between two measurements of the pace
	watchedStalls = 10 * time.Second      // how long stalls are remembered
)

// WatchScripts watches a server until Stop or the end of the test. A server that is killed and
// restarted is watched again as soon as it answers.
func WatchScripts(t testing.TB, s *Server, most time.Duration) *ScriptWatch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &ScriptWatch{server: s, most: most, client: s.client(), stop: cancel, done: make(chan struct{})}
	go w.watch(ctx)
	t.Cleanup(func() { w.Stop() })
	return w
}

// Stop reads the slow log once more, ends the watch, and returns the runs that took too long. It
// may be called twice.
func (w *ScriptWatch) Stop() []LongScript {
	w.stop()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.long
}

// Seen returns the number of runs that were longer than the bound by the wall clock, including
// those that a stall of the machine explains.
func (w *ScriptWatch) Seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// ShortScripts runs f with a new server, and fails the test if a script of f takes longer than most. A
// machine that stalls makes any script long. So after a long script it runs f again, with another new
// server. A script that is too long by itself is too long in all rounds.
func ShortScripts(t *testing.T, path string, most time.Duration, f func(t *testing.T, s *Server)) {
	t.Helper()
	const rounds = 5
	for round := range rounds {
		var long []LongScript
		if !t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			server := Start(t, path)
			watch := WatchScripts(t, server, most)
			f(t, server)
			long = watch.Stop()
		}) {
			return
		}
		if err := Tells(); err != nil {
			t.Log(err)
			return
		}
		if len(long) == 0 {
			return
		}
		for _, l := range long {
			if round == rounds-1 {
				t.Error(l)
			} else {
				t.Log(l)
			}
		}
	}
}

// Repeated returns the runs of those scripts that took too long at least so many times. A stall of the
// machine makes a script long once or twice, and mostly another script each time.
func Repeated(long []LongScript, times int) []LongScript {
	runs := make(map[string]int)
	for _, l := range long {
		runs[l.script()]++
	}
	return slices.DeleteFunc(slices.Clone(long), func(l LongScript) bool { return runs[l.script()] < times })
}

// script returns the hash of the script.
func (l LongScript) script() string {
	hash, _, _ := strings.Cut(l.Call, " ")
	return hash
}

// stalls holds, for several moments, how long a process had waited for a processor by then.
type stalls []stall

type stall struct {
	at     time.Time
	waited time.Duration
}

// since returns how long the process has waited for a processor since the given time.
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
	last := int64(-1) // id of the newest entry that was read
	slower := 1.0
	before := time.Now()
	for look := 0; ; look++ {
		over := ctx.Err() != nil
		now := w.server.pid()
		if now != pid { // the server was restarted with an empty log
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
			pid = 0 // the server may have ended
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
			if w.server.thawedAfter(before.Add(-e.Duration)) { // Freeze stopped the server in the meantime
				continue
			}
			// The machine may have become slower since the last measurement.
			slower = max(slower, pace())
			// The script ended after the previous read, so this is the earliest time at which it
			// can have begun.
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

// begin configures the server to log scripts that are longer than the bound.
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

// judge records a run, unless the machine explains why it took so long.
func (w *ScriptWatch) judge(l LongScript) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	if l.TooLong() {
		w.long = append(w.long, l)
	}
}

// TooLong reports whether the script itself took too long.
func (l LongScript) TooLong() bool { return l.Took-l.Stalled > l.Bound }

// waitedOf returns how long the main thread of a process was ready to run and had no processor.
func waitedOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	ns, _ := strconv.ParseInt(fields[1], 10, 64)
	return time.Duration(ns)
}

// Tells returns an error if the system does not report how long processes wait for a processor.
// Then a long script can't be told from a busy machine.
func Tells() error {
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		return errors.New("the system does not report how long a process waits for a processor")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
