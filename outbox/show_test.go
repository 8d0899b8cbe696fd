//go:build unix

package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/outbox"
	"github.com/go-arbiter/arbiter/task"
)

// relayConfig is the config of a process with the role relay.
type relayConfig struct {
	Source source
	Broker string
	// Halt is the line in which the process stands still, so that it is killed there: before or after its
	// second batch is stored in the broker. Empty is nowhere.
	Halt string
}

const (
	haltBefore = "before"
	haltAfter  = "after"
)

// runRelay is the role relay.
func runRelay(ctx context.Context, config json.RawMessage) error {
	var cfg relayConfig
	if err := json.Unmarshal(config, &cfg); err != nil {
		return err
	}
	db, err := cfg.Source.open()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	b, err := redis.Open(ctx, cfg.Broker, redis.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	ob, err := outbox.New(db, cfg.Source.Dialect, outbox.Every(10*time.Millisecond))
	if err != nil {
		return err
	}
	batches := 0
	halt := func(at string) func([]*broker.Task) error {
		return func([]*broker.Task) error {
			if at == haltBefore {
				batches++
			}
			if cfg.Halt == at && batches == 2 {
				fmt.Println("halted")
				select {} // until it is killed
			}
			return nil
		}
	}
	return ob.Run(ctx, &hooked{Broker: b, before: halt(haltBefore), after: halt(haltAfter)})
}

// Of rows that 8 connections write in transactions, some of which are rolled back, each committed one is a task
// that runs once, and none of the others is, although the relay is killed ten times in its most delicate lines.
func TestEachCommittedRowOnce(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		t.SkipNow()
	}
	const (
		connections = 8
		kills       = 10
	)
	total := testform.Pick(2_000, 100_000) // committed rows
	most := testform.Pick(300, 5_000)      // that wait, so that the writers do not end before the last kill
	eachDatabase(t, func(t *testing.T, d *database) {
		t.Parallel() // with the other databases: much of the time it waits
		server := redistest.Start(t, path)
		b, err := redis.Open(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		arb, err := arbiter.New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		ob := d.outbox(t)
		d.exec(t, d.db, "CREATE TABLE entries (n integer PRIMARY KEY)")
		var ran notes
		stop := serve(t, b, []minion.Option{minion.Queue(task.DefaultQueue)}, task.Implement(noteTask, ran.handle))

		begun := time.Now()
		var next, committed, rolledBack atomic.Int64
		var killed atomic.Bool // all kills are done
		var wrote sync.WaitGroup
		for range connections {
			wrote.Go(func() {
				for (int(committed.Load()) < total || !killed.Load()) && !t.Failed() {
					if int(committed.Load())-ran.total() > most {
						time.Sleep(time.Millisecond)
						continue
					}
					n, err := d.write(t.Context(), ob, &next)
					if err != nil {
						t.Errorf("a transaction: %v", err)
						return
					}
					if n > 0 {
						committed.Add(int64(n))
					} else {
						rolledBack.Add(1)
					}
				}
			})
		}
		relay := relayConfig{Source: d.source, Broker: server.URL()}
		for i := range kills {
			if relay.Halt = haltBefore; i%2 == 1 {
				relay.Halt = haltAfter
			}
			p := proc.Start(t, "relay", relay)
			p.WaitFor(t, "halted")
			p.Kill()
		}
		killed.Store(true)
		relay.Halt = ""
		proc.Start(t, "relay", relay)
		wrote.Wait()
		written := time.Since(begun)
		empty(t, ob)
		moved := time.Since(begun)
		want := d.count(t, "entries")
		eventually(t, "all tasks run", func() bool { return ran.total() >= want })
		// What has been sent in excess is in the queue before this task.
		if _, err := noteTask.Call(t.Context(), arb, NoteArgs{N: -1}); err != nil {
			t.Error(err)
		}
		stop()
		rows, err := d.db.QueryContext(t.Context(), "SELECT n FROM entries")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		delete(ran.ran, -1)
		checked := 0
		for rows.Next() {
			n := 0
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			if checked++; ran.ran[n] != 1 {
				t.Errorf("the task of the committed row %d ran %d times, want once", n, ran.ran[n])
			}
			delete(ran.ran, n)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if len(ran.ran) > 0 {
			t.Errorf("%d tasks ran whose rows were not committed", len(ran.ran))
		}
		if checked < total || int64(checked) != committed.Load() || rolledBack.Load() == 0 {
			t.Errorf("%d rows are committed of %d that the writers have counted, and %d transactions were rolled back; want %d rows and some roll backs",
				checked, committed.Load(), rolledBack.Load(), total)
		}
		t.Logf("%d rows, %d transactions rolled back, %d kills: written after %v, moved after %v", checked, rolledBack.Load(), kills, written, moved)
	})
}

// write writes some rows in a transaction, with a task for each, and returns how many it has committed: 0 if it has
// rolled back.
func (d *database) write(ctx context.Context, ob *outbox.Outbox, next *atomic.Int64) (n int, err error) {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	n = 1 + rand.N(testform.Pick(10, 200))
	calls := make([]task.Call[int], n)
	entries := make([]any, n)
	for i := range calls {
		entry := int(next.Add(1))
		calls[i], entries[i] = noteTask.Bind(NoteArgs{N: entry}), entry
	}
	if _, err := tx.ExecContext(ctx, d.query("INSERT INTO entries VALUES (?)"+strings.Repeat(", (?)", n-1)), entries...); err != nil {
		return 0, err
	}
	s, alone := ob.In(tx), rand.N(min(n, 5))
	for _, call := range calls[:alone] {
		if _, err := call.Send(ctx, s); err != nil {
			return 0, err
		}
	}
	_, err = task.SendAll(ctx, s, calls[alone:]...)
	if err != nil || rand.N(4) == 0 {
		return 0, err
	}
	return n, tx.Commit()
}
