//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

// eachSecond is the schedule that the processes of [schedulerRole] declare.
func eachSecond() schedule.Definition {
	return schedule.Definition{
		Name: "each-second", When: schedule.Cron("* * * * * *"), Call: task.Named("tick", task.Args()), Missed: schedule.MissedAll,
	}
}

// schedulerRole runs schedules until it is killed.
func schedulerRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	fmt.Println("ready")
	return schedule.Run(ctx, b, schedule.Logger(log), schedule.Declared("test", eachSecond()))
}

// Five processes run a schedule that is due each second, while one after the other is killed or stopped. Each tick runs once, and
// none is missing. The long form takes 30 s.
func TestSchedulesWithoutALeader(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const processes = 5
	var mu sync.Mutex
	ran := make(map[int64]int)
	var latest time.Duration
	m, err := minion.New(r.b, minion.Logger(r.logs.logger()), minion.DrainTimeout(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := task.HandleFunc(m, "tick", func(ctx context.Context, _ codec.Arguments) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		nominal := schedule.Nominal(ctx)
		ran[nominal.Unix()]++
		latest = max(latest, time.Since(nominal))
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = m.Run(ctx, 4) }()
	t.Cleanup(func() { cancel(); <-ended })

	start := func() *proc.Process {
		p := proc.Start(t, "scheduler", r.cfg)
		p.WaitFor(t, "ready\n")
		return p
	}
	var all []*proc.Process
	for range processes {
		all = append(all, start())
	}
	killed, stopped := 0, 0
	for i, end := 0, time.Now().Add(testform.Pick(8*time.Second, 30*time.Second)); time.Now().Before(end); i++ {
		time.Sleep(1300 * time.Millisecond)
		victim := all[i%processes]
		if i%3 == 2 { // it goes on later, and may then send what it was about to send
			victim.Stop(t)
			stopped++
			time.Sleep(1300 * time.Millisecond)
			victim.Continue(t)
			continue
		}
		victim.Kill()
		killed++
		all[i%processes] = start()
	}
	s, err := schedule.New(r.b, schedule.Logger(r.logs.logger()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(ctx, "each-second", "the test is over"); err != nil {
		t.Fatal(err)
	}
	st, err := s.Get(ctx, "each-second")
	if err != nil {
		t.Fatal(err)
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(ran) }
	r.eventually("all ticks have run", func() bool { return count() >= st.Runs })
	for _, p := range all {
		p.Kill()
	}
	mu.Lock()
	defer mu.Unlock()
	var seconds []int64
	for second, n := range ran {
		seconds = append(seconds, second)
		if n != 1 {
			t.Errorf("the tick of %v has run %d times", time.Unix(second, 0).UTC(), n)
		}
	}
	slices.Sort(seconds)
	for i, second := range seconds {
		if i > 0 && second != seconds[i-1]+1 {
			t.Errorf("no tick has run between %v and %v", time.Unix(seconds[i-1], 0).UTC(), time.Unix(second, 0).UTC())
		}
	}
	if len(seconds) == 0 || len(seconds) != st.Runs || seconds[0] > st.Created.Unix()+1 || seconds[len(seconds)-1] != st.Last.Unix() {
		t.Errorf("%d ticks from %v on, want %d after %v", len(seconds), seconds, st.Runs, st.Created)
	}
	t.Logf("%d processes were killed and %d stopped; %d ticks, the latest %v after its time", killed, stopped, len(seconds), latest.Round(time.Millisecond))
}
