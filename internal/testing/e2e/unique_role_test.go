//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// keyedArgs are the arguments of a task with a unique key. The key is made of Key.
type keyedArgs struct {
	Key int           `arbiter:"key"`
	For time.Duration `arbiter:"for"`
}

var keyedTask = task.Define[keyedArgs, int]("keyed", task.UniqueArgs("key"))

// uniqueConfig is the configuration of a process that sends tasks with unique keys, or runs them.
type uniqueConfig struct {
	config
	Keys   int    // the number of keys
	Calls  int    // how many calls a process sends
	Rule   string // a name in uniqueRules
	Sender uint64
}

// uniqueRules have the options of the calls of a sender.
var uniqueRules = map[string]func(key int, rnd *rand.Rand) []task.Option{
	// The keys are held for longer than the test lasts, and each call gets the result of the first one.
	"windows": func(int, *rand.Rand) []task.Option {
		return []task.Option{task.UniqueFor(time.Hour), task.OnConflict(task.ConflictJoin)}
	},
	// The tasks wait for limits and in sequences.
	"lanes": func(key int, _ *rand.Rand) []task.Option {
		return []task.Option{
			task.FairKey(strconv.Itoa(key % 7)), task.Sequence(strconv.Itoa(key % 31)), task.Limit("l", task.KeyedBy(strconv.Itoa(key%5))),
		}
	},
	// Tasks replace each other and wait behind each other. Those with an even key free it at their start.
	"conflicts": func(key int, rnd *rand.Rand) []task.Option {
		opts := []task.Option{task.OnConflict([]task.Conflict{task.ConflictRefuse, task.ConflictReplace, task.ConflictLatest, task.ConflictLatest}[rnd.IntN(4)])}
		if key%2 == 0 {
			opts = append(opts, task.UniqueUntilStart())
		}
		switch rnd.IntN(4) {
		case 0:
			opts = append(opts, task.UniqueFor(time.Duration(1+rnd.IntN(50))*time.Millisecond))
		case 1:
			opts = append(opts, task.Delay(time.Duration(1+rnd.IntN(50))*time.Millisecond))
		case 2:
			opts = append(opts, task.Limit("l", task.KeyedBy(strconv.Itoa(key%5))))
		}
		return opts
	},
}

// uniqueMinionRole is a minion that runs tasks with unique keys.
func uniqueMinionRole(ctx context.Context, text json.RawMessage) error {
	var c uniqueConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	m, err := minion.New(b, minion.Logger(log), minion.DrainTimeout(0))
	if err != nil {
		return err
	}
	err = task.Handle(m, keyedTask, func(ctx context.Context, a keyedArgs) (int, error) {
		info, _ := task.FromContext(ctx)
		if err := c.Ledger.note("start/"+strconv.Itoa(a.Key), info); err != nil {
			return 0, err
		}
		end := "end/"
		select {
		case <-time.After(a.For):
		case <-ctx.Done(): // the task waits for another attempt from now on, and can be replaced
			end = "cut/"
		}
		return a.Key, errors.Join(context.Cause(ctx), c.Ledger.note(end+strconv.Itoa(a.Key), info))
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return m.Run(ctx, c.Slots)
}

// uniqueSenderRole sends tasks with unique keys, see uniqueConfig.send.
func uniqueSenderRole(ctx context.Context, text json.RawMessage) error {
	var c uniqueConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	return c.send(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)), os.Stdout)
}

// send sends calls whose keys are chosen at random, and waits for the tasks that were accepted or
// joined. It prints a line for each of these: holder, key and id; or "replaced" and id. The last line
// has the numbers of calls that were accepted or joined, and refused.
func (c uniqueConfig) send(ctx context.Context, log *slog.Logger, out io.Writer) error {
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
	rnd := rand.New(rand.NewPCG(c.Sender, 0))
	futs := make(map[task.ID]*task.Future[int])
	keys := make(map[task.ID]int)
	accepted, refused := 0, 0
	for sent := 0; sent < c.Calls; {
		calls := make([]task.Call[int], min(1+rnd.IntN(200), c.Calls-sent))
		args := make([]keyedArgs, len(calls))
		for i := range calls {
			args[i] = keyedArgs{rnd.IntN(c.Keys), time.Duration(rnd.IntN(3)) * time.Millisecond}
			calls[i] = keyedTask.With(uniqueRules[c.Rule](args[i].Key, rnd)...).Bind(args[i])
		}
		some, err := task.SendAll(ctx, arb, calls...)
		sub, failed := errors.AsType[*task.SubmitError](err)
		if err != nil && !failed {
			return err
		}
		if failed {
			for _, f := range sub.Failed {
				if !errors.Is(f.Err, task.ErrDuplicate) {
					return f.Err
				}
			}
			refused += len(sub.Failed)
		}
		for i, fut := range some {
			if fut == nil {
				continue
			}
			accepted++
			if key, known := keys[fut.ID()]; known && key != args[i].Key {
				return fmt.Errorf("the calls with the keys %d and %d have the same task %s", key, args[i].Key, fut.ID())
			}
			keys[fut.ID()], futs[fut.ID()] = args[i].Key, fut
		}
		sent += len(calls)
		_, _ = fmt.Fprintf(out, "sent %d\n", sent)
	}
	for id, fut := range futs {
		key, err := fut.Result(ctx)
		replaced, was := errors.AsType[*task.ReplacedError](err)
		switch {
		case was && replaced.By.IsZero():
			return fmt.Errorf("task %s was replaced by no task", id)
		case errors.Is(err, task.ErrCanceled):
			_, _ = fmt.Fprintf(out, "replaced %s\n", id)
		case err != nil:
			return err
		case key != keys[id]:
			return fmt.Errorf("task %s has the result %d, want %d", id, key, keys[id])
		default:
			_, _ = fmt.Fprintf(out, "holder %d %s\n", key, id)
		}
	}
	_, _ = fmt.Fprintf(out, "accepted %d refused %d\n", accepted, refused)
	return nil
}
