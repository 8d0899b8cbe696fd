//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// memberArgs tell a member its squad.
type memberArgs struct {
	Squad string        `arbiter:"squad"`
	Size  int           `arbiter:"size"`
	For   time.Duration `arbiter:"for"`
}

var member = task.Define[memberArgs, int]("member")

// squadConfig is the configuration of a process that serves squads or sends them.
type squadConfig struct {
	config
	Name   string
	Squads int
	AtOnce int // the number of squads that it sends at a time
	Wait   time.Duration
}

// squadMinionRole is a minion that runs members of squads.
func squadMinionRole(ctx context.Context, text json.RawMessage) error {
	var c squadConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	m, err := minion.New(b, minion.Queues(c.Queues...), minion.Logger(log), minion.DrainTimeout(0))
	if err != nil {
		return err
	}
	err = task.Handle(m, member, func(ctx context.Context, a memberArgs) (int, error) {
		info, _ := task.FromContext(ctx)
		if err := c.Ledger.note(fmt.Sprintf("start/%s/%d", a.Squad, a.Size), info); err != nil {
			return 0, err
		}
		time.Sleep(a.For)
		return a.Size, c.Ledger.note("end/"+a.Squad, info)
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return m.Run(ctx, c.Slots)
}

// squadCalls returns the members of a squad: 1 to 4 in queue a, and up to 3 in queue b.
func squadCalls(name string, rnd *rand.Rand) []task.Bound {
	queues := make([]string, 0, 7)
	for range 1 + rnd.IntN(4) {
		queues = append(queues, "a")
	}
	for range rnd.IntN(4) {
		queues = append(queues, "b")
	}
	calls := make([]task.Bound, len(queues))
	for i, q := range queues {
		calls[i] = memberOf(name, q, len(queues))
	}
	return calls
}

func memberOf(squad, queue string, size int) task.Bound {
	return member.With(task.Queue(queue)).Bind(memberArgs{Squad: squad, Size: size, For: time.Duration(1+rand.IntN(10)) * time.Millisecond})
}

// squadSenderRole sends squads, and waits for those that have started. It prints their names, and at the
// end the number of squads that have not started.
func squadSenderRole(ctx context.Context, text json.RawMessage) error {
	var c squadConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b, arbiter.Logger(log))
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()
	fmt.Println("ready")
	numbers := make(chan int)
	go func() {
		defer close(numbers)
		for n := range c.Squads {
			numbers <- n
		}
	}()
	var mu sync.Mutex
	var failed []string
	refused := 0
	var wg sync.WaitGroup
	for range c.AtOnce {
		wg.Go(func() {
			for n := range numbers {
				name := fmt.Sprintf("%s-%d", c.Name, n)
				rnd := rand.New(rand.NewPCG(uint64(n), uint64(os.Getpid())))
				g, err := arb.Squad(ctx, squadCalls(name, rnd), arbiter.WaitForWorkers(c.Wait))
				if err == nil {
					err = g.Result(ctx, nil)
				}
				mu.Lock()
				switch {
				case err == nil:
					fmt.Printf("ran %s.\n", name)
				case errors.Is(err, task.ErrNotEnoughWorkers):
					refused++
					fmt.Printf("short %s: %v\n", name, err)
				default:
					failed = append(failed, fmt.Sprintf("squad %s: %v", name, err))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return errors.New(strings.Join(failed, "\n"))
	}
	fmt.Printf("refused %d\nover\n", refused)
	return nil
}
