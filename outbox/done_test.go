//go:build unix

package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/outbox"
	"github.com/go-arbiter/arbiter/task"
)

// attempt returns the context of an attempt at a task.
func attempt(t testing.TB, id task.ID, n uint32) context.Context {
	return task.NewContext(t.Context(), &task.Info{ID: id, Name: "note", Attempt: n})
}

// An attempt after one that has committed gets its result, and writes nothing.
func TestRepeatedAttempt(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		ob := d.outbox(t)
		d.exec(t, d.db, "CREATE TABLE ledger (n integer)")
		arb, err := arbiter.New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		var ran notes
		var attempts atomic.Int32
		pay := task.Define[NoteArgs, int]("pay", task.WithBackoff(func(int, error) time.Duration { return time.Millisecond }))
		stop := serve(t, b, nil, task.Implement(noteTask, ran.handle), task.Implement(pay, func(ctx context.Context, args NoteArgs) (int, error) {
			n := attempts.Add(1)
			sum, err := outbox.Once(ctx, ob, func(tx *sql.Tx) (int, error) {
				d.exec(t, tx, "INSERT INTO ledger VALUES (?)", args.N)
				if _, err := noteTask.Apply(ctx, ob.In(tx), NoteArgs{N: int(n)}); err != nil {
					return 0, err
				}
				if n == 1 {
					return 0, errors.New("the first attempt fails before its commit")
				}
				return args.N + int(n), nil
			})
			if n == 2 {
				return 0, errors.New("the second attempt fails after its commit, as if its minion had died")
			}
			return sum, err
		}))
		relay(t, ob, b)
		sum, err := pay.Call(t.Context(), arb, NoteArgs{N: 10})
		if err != nil || sum != 12 {
			t.Errorf("result %d, %v; want that of the second attempt, 12", sum, err)
		}
		if n := d.count(t, "ledger"); n != 1 || attempts.Load() != 3 {
			t.Errorf("%d writes in %d attempts, want 1 in 3", n, attempts.Load())
		}
		empty(t, ob)
		eventually(t, "the task of the second attempt runs", func() bool { return ran.total() > 0 })
		stop()
		if ran.total() != 1 || ran.ran[2] != 1 {
			t.Errorf("the tasks that were sent in the transactions ran %v times, want only that of attempt 2", ran.ran)
		}
	})
}

// Of two attempts that run at the same time, exactly one commits, and both have its result.
func TestSimultaneousAttempts(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		d.exec(t, d.db, "CREATE TABLE ledger (n integer)")
		for round := range 20 {
			id := broker.NewTaskID("default", "")
			var inside sync.WaitGroup
			inside.Add(2)
			var all sync.WaitGroup
			var got [2]int
			var errs [2]error
			for i := range got {
				all.Go(func() {
					got[i], errs[i] = outbox.Once(attempt(t, id, uint32(i+1)), ob, func(tx *sql.Tx) (int, error) {
						if inside.Done(); d.Dialect != outbox.SQLite {
							inside.Wait() // both have begun; SQLite runs one such transaction after the other
						}
						_, err := tx.ExecContext(t.Context(), d.query("INSERT INTO ledger VALUES (?)"), round)
						return i, err
					})
				})
			}
			all.Wait()
			if errs[0] != nil || errs[1] != nil || got[0] != got[1] {
				t.Fatalf("results %v, errors %v; want the same result twice", got, errs)
			}
		}
		if n := d.count(t, "ledger"); n != 20 {
			t.Errorf("%d writes of 20 tasks", n)
		}
	})
}

// Once rolls back what must not be committed, and gives back its connection.
func TestOnceRollsBack(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		d.db.SetMaxOpenConns(1) // a transaction that is left open would block the rest of the test
		ob := d.outbox(t)
		d.exec(t, d.db, "CREATE TABLE ledger (n integer)")
		id := broker.NewTaskID("default", "")
		write := func(tx *sql.Tx) { d.exec(t, tx, "INSERT INTO ledger VALUES (1)") }
		failed := errors.New("failed")
		if _, err := outbox.Once(attempt(t, id, 1), ob, func(tx *sql.Tx) (int, error) { write(tx); return 1, failed }); !errors.Is(err, failed) {
			t.Errorf("error %v, want that of the function", err)
		}
		func() {
			defer func() {
				if p := recover(); p != "panic" {
					t.Errorf("panic %v", p)
				}
			}()
			_, _ = outbox.Once(attempt(t, id, 2), ob, func(tx *sql.Tx) (int, error) { write(tx); panic("panic") })
		}()
		if _, err := outbox.Once(attempt(t, id, 3), ob, func(tx *sql.Tx) (chan int, error) { write(tx); return make(chan int), nil }); !errors.Is(err, task.ErrBadResult) {
			t.Errorf("a result that can't be encoded: %v", err)
		}
		if _, err := outbox.Once(attempt(t, id, 4), ob, func(tx *sql.Tx) (string, error) {
			write(tx)
			return strings.Repeat("x", broker.DefaultMaxResult), nil
		}); !errors.Is(err, task.ErrBadResult) || !errors.Is(err, task.ErrTooLarge) {
			t.Errorf("a result over the limit: %v", err)
		}
		ctx, cancel := context.WithCancelCause(attempt(t, id, 5))
		if _, err := outbox.Once(ctx, ob, func(tx *sql.Tx) (int, error) {
			write(tx)
			cancel(task.ErrLeaseLost)
			return 1, nil
		}); err == nil {
			t.Error("a transaction was committed after the end of its context")
		}
		if n := d.count(t, "ledger"); n != 0 {
			t.Errorf("%d writes were committed, want none", n)
		}
		if n := d.count(t, "arbiter_outbox_done"); n != 0 {
			t.Errorf("%d results were committed, want none", n)
		}
		// A transaction of another attempt commits while this one runs.
		if d.Dialect == outbox.SQLite {
			return // there the other one can't
		}
		d.db.SetMaxOpenConns(2)
		got, err := outbox.Once(attempt(t, id, 6), ob, func(tx *sql.Tx) (int, error) {
			write(tx)
			return outbox.Once(attempt(t, id, 7), ob, func(*sql.Tx) (int, error) { return 7, nil })
		})
		if got != 7 || err != nil {
			t.Errorf("result %d, %v; want that of the other attempt", got, err)
		}
		if n := d.count(t, "ledger"); n != 0 {
			t.Errorf("%d writes were committed, want none", n)
		}
	})
}

// Find returns each kind of result, and says when there is none.
func TestFind(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		if _, _, err := outbox.Find[int](t.Context(), ob); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("Find outside of an attempt: %v", err)
		}
		if err := ob.Done(t.Context(), d.db, 1); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("Done outside of an attempt: %v", err)
		}
		ctx := attempt(t, broker.NewTaskID("default", ""), 1)
		if err := ob.Done(ctx, nil, 1); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("Done without a transaction: %v", err)
		}
		if n, found, err := outbox.Find[int](ctx, ob); n != 0 || found || err != nil {
			t.Errorf("before Done: %d, %v, %v", n, found, err)
		}
		if err := ob.Done(ctx, d.db, task.None{}); err != nil { // a transaction of its own
			t.Fatal(err)
		}
		if _, found, err := outbox.Find[task.None](ctx, ob); !found || err != nil {
			t.Errorf("no result: %v, %v", found, err)
		}
		ctx = attempt(t, broker.NewTaskID("default", ""), 1)
		if err := ob.Done(ctx, d.db, &NoteArgs{N: 3, Text: "ö"}); err != nil {
			t.Fatal(err)
		}
		if r, found, err := outbox.Find[*NoteArgs](ctx, ob); !found || err != nil || *r != (NoteArgs{N: 3, Text: "ö"}) {
			t.Errorf("a pointer: %+v, %v, %v", r, found, err)
		}
		if n, found, err := outbox.Find[int](ctx, ob); n != 0 || found || err == nil {
			t.Errorf("a result of another type: %d, %v, %v", n, found, err)
		}
		d.exec(t, d.db, "UPDATE arbiter_outbox_done SET version = 99")
		if _, found, err := outbox.Find[*NoteArgs](ctx, ob); found || !errors.Is(err, broker.ErrVersion) {
			t.Errorf("a result of a newer version: %v, %v", found, err)
		}
		d.exec(t, d.db, "UPDATE arbiter_outbox_done SET version = 1, outcome = ?", []byte{1, 2, 3})
		if _, found, err := outbox.Find[*NoteArgs](ctx, ob); found || !errors.Is(err, broker.ErrMalformed) {
			t.Errorf("a damaged result: %v, %v", found, err)
		}
	})
}

// named is a codec with another name.
type named struct{ codec.Codec }

func (named) Name() string { return "other" }

// Results of another codec can be read if the codec is among those of Codecs.
func TestCodecs(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ctx := attempt(t, broker.NewTaskID("default", ""), 1)
		if err := d.outbox(t, outbox.Codec(named{codec.JSON()})).Done(ctx, d.db, "text"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := outbox.Find[string](ctx, d.outbox(t)); !errors.Is(err, codec.ErrUnknownCodec) {
			t.Errorf("without the codec: %v", err)
		}
		if text, found, err := outbox.Find[string](ctx, d.outbox(t, outbox.Codecs(named{codec.JSON()}))); text != "text" || !found || err != nil {
			t.Errorf("with the codec: %q, %v, %v", text, found, err)
		}
	})
}

// Old results are forgotten, by a relay and by Forget, and only those.
func TestForget(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t, outbox.KeepResults(time.Hour))
		fill := func() {
			d.inTx(t, func(tx *sql.Tx) {
				for i := range 1100 {
					if err := ob.Done(attempt(t, broker.NewTaskID("default", ""), 1), tx, i); err != nil {
						t.Fatal(err)
					}
				}
			})
			d.exec(t, d.db, "UPDATE arbiter_outbox_done SET created = created - ?", (2 * time.Hour).Milliseconds())
		}
		fill()
		young := attempt(t, broker.NewTaskID("default", ""), 1)
		if err := ob.Done(young, d.db, 7); err != nil {
			t.Fatal(err)
		}
		if n, err := ob.Forget(t.Context()); n != 1100 || err != nil {
			t.Errorf("Forget returned %d, %v; want 1100", n, err)
		}
		if n, found, err := outbox.Find[int](young, ob); n != 7 || !found || err != nil {
			t.Errorf("a younger result: %d, %v, %v", n, found, err)
		}
		fill() // also makes the younger one old
		relay(t, ob, newBroker(t))
		eventually(t, "the relay forgets the results", func() bool { return d.count(t, "arbiter_outbox_done") == 0 })
		if n := fmt.Sprint(d.count(t, outbox.DefaultTable)); n != "0" {
			t.Errorf("%s rows wait", n)
		}
	})
}
