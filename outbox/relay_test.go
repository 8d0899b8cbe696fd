//go:build unix

package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/outbox"
	"github.com/go-arbiter/arbiter/task"
)

// A task is sent with the commit of its transaction, and with nothing else.
func TestCommitAndRollback(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		ob := d.outbox(t)
		arb, err := arbiter.New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		var ran notes
		stop := serve(t, b, nil, task.Implement(noteTask, ran.handle))

		tx, err := d.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		lost, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		var fut *task.Future[int]
		d.inTx(t, func(tx *sql.Tx) {
			if fut, err = noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{N: 2}); err != nil {
				t.Fatal(err)
			}
			if _, err := fut.Result(t.Context()); !errors.Is(err, task.ErrNotSubmitted) || !strings.Contains(err.Error(), "Outbox.Results") {
				t.Errorf("a wait before the commit: %v, want ErrNotSubmitted with the remedy", err)
			}
		})
		if backlog, err := ob.Backlog(t.Context()); err != nil || backlog.Waiting != 1 {
			t.Errorf("the backlog is %+v (%v), want one task", backlog, err)
		}
		result := make(chan error, 1)
		go func() { // it waits while the task is in the table
			n, err := task.NewFuture[int](ob.Results(arb), fut.ID()).Result(t.Context())
			if err == nil && n != 2 {
				err = fmt.Errorf("result %d, want 2", n)
			}
			result <- err
		}()
		relay(t, ob, b)
		if err := <-result; err != nil {
			t.Error(err)
		}
		empty(t, ob)
		if _, err := task.NewFuture[int](ob.Results(arb), lost.ID()).Result(t.Context()); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("a wait after the rollback: %v, want ErrNotFound", err)
		}
		stop()
		if ran.ran[1] != 0 || ran.ran[2] != 1 {
			t.Errorf("the tasks ran %v times, want only 2, once", ran.ran)
		}
	})
}

// Wake makes the relay look at once, and it looks by itself from time to time.
func TestWakeAndEvery(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		for name, every := range map[string]time.Duration{"wake": time.Hour, "every": 5 * time.Millisecond} {
			t.Run(name, func(t *testing.T) {
				b := newBroker(t)
				ob := d.outbox(t, outbox.Every(every), outbox.Table("box_"+name))
				stored := make(chan task.ID, 10)
				relay(t, ob, &hooked{Broker: b, after: func(tasks []*broker.Task) error {
					for _, t := range tasks {
						stored <- t.ID
					}
					return nil
				}})
				for n := range 3 {
					var id task.ID
					d.inTx(t, func(tx *sql.Tx) {
						fut, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{N: n})
						if err != nil {
							t.Fatal(err)
						}
						id = fut.ID()
					})
					if name == "wake" {
						ob.Wake()
						ob.Wake() // it never blocks
					}
					if got := <-stored; got != id {
						t.Errorf("the relay stored %s, want %s", got, id)
					}
					empty(t, ob)
				}
			})
		}
	})
}

// Everything that a call says reaches the broker, as if an arbiter had sent it.
func TestEverySettingTravels(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		call := noteTask.With(
			task.Queue("mails"), task.Timeout(time.Minute), task.Delay(time.Hour), task.Within(2*time.Hour), task.Retries(3), task.Retention(time.Minute),
			task.DeadRetention(time.Second), task.UniqueIn("scope", "key"), task.UniqueFor(time.Hour), task.UniqueUntilStart(), task.OnConflict(task.ConflictReplace),
			task.ConflictMaxAge(time.Minute), task.Meta("k", "v"), task.Slots(2), task.Priority(7), task.FairKey("tenant"), task.Schema(42),
		).Bind(NoteArgs{N: 1, Text: "t"})
		parent := task.Info{ID: broker.NewTaskID("default", ""), Name: "parent", Attempt: 1}
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := call.Send(task.NewContext(t.Context(), &parent), ob.In(tx)); err != nil {
				t.Fatal(err)
			}
		})
		want, err := call.Request().Prepare(arbiterCodec, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		want.Parent = parent.ID
		got := make(chan broker.Task, 1)
		relay(t, ob, &hooked{Broker: newBroker(t), before: func(tasks []*broker.Task) error {
			got <- *tasks[0]
			return nil
		}})
		have := <-got
		if have.Delay > time.Hour || have.Delay < time.Hour-patience || have.Deadline > 2*time.Hour || have.Deadline < 2*time.Hour-patience {
			t.Errorf("delay %v and deadline %v, want an hour and two hours without the time in the table", have.Delay, have.Deadline)
		}
		have.Delay, have.Deadline, have.Enqueued = want.Delay, want.Deadline, want.Enqueued
		if a, b := wire.AppendSubmit(nil, &have), wire.AppendSubmit(nil, want); !slices.Equal(a, b) {
			t.Errorf("the relay stores\n%+v\nwant\n%+v", have, want)
		}
	})
}

// The time in the table counts for delays and deadlines.
func TestTimesCountFromTheSubmission(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		calls := []task.Call[int]{
			noteTask.With(task.Delay(time.Hour), task.Within(3*time.Hour)).Bind(NoteArgs{}),
			noteTask.With(task.Delay(time.Minute), task.Within(2*time.Minute)).Bind(NoteArgs{}),
			noteTask.Bind(NoteArgs{}),
			noteTask.With(task.Spread(2 * time.Hour)).Bind(NoteArgs{}),
			noteTask.With(task.Spread(2 * time.Hour)).Bind(NoteArgs{}),
		}
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := task.SendAll(t.Context(), ob.In(tx), calls...); err != nil {
				t.Fatal(err)
			}
		})
		d.exec(t, d.db, "UPDATE arbiter_outbox SET created = created - ?", (30 * time.Minute).Milliseconds()) // it was sent half an hour ago
		type times struct{ delay, deadline time.Duration }
		got := make(chan map[task.ID]times, 1)
		relay(t, ob, &hooked{Broker: newBroker(t), before: func(tasks []*broker.Task) error {
			all := make(map[task.ID]times)
			for _, t := range tasks {
				all[t.ID] = times{t.Delay, t.Deadline}
			}
			got <- all
			return nil
		}})
		all := <-got
		near := func(d, want time.Duration) bool { return d <= want && d > want-patience }
		if have := all[calls[0].Request().ID()]; !near(have.delay, 30*time.Minute) || !near(have.deadline, 150*time.Minute) {
			t.Errorf("an hour and three hours are %v after half an hour in the table", have)
		}
		if have := all[calls[1].Request().ID()]; have != (times{0, time.Nanosecond}) {
			t.Errorf("times that have passed in the table are %v, want no delay, and a deadline that has passed", have)
		}
		if have := all[calls[2].Request().ID()]; have != (times{}) {
			t.Errorf("a task without times has %v", have)
		}
		if first, second := all[calls[3].Request().ID()], all[calls[4].Request().ID()]; first != (times{}) || !near(second.delay, 30*time.Minute) {
			t.Errorf("two tasks that are spread over two hours have %v and %v after half an hour in the table", first, second)
		}
	})
}

// In whatever line a relay dies, or loses a reply, each task is stored once.
func TestRelayDies(t *testing.T) {
	died := errors.New("the relay has died")
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		ob := d.outbox(t, quiet)
		var ran notes
		stop := serve(t, b, nil, task.Implement(noteTask, ran.handle))
		const n = 50
		for i := range n {
			d.inTx(t, func(tx *sql.Tx) {
				if _, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{N: i}); err != nil {
					t.Fatal(err)
				}
			})
		}
		for _, h := range []*hooked{
			{before: func([]*broker.Task) error { return died }},
			{after: func([]*broker.Task) error { return died }},
			{after: func([]*broker.Task) error {
				return fmt.Errorf("%w: %w", broker.ErrUnavailable, broker.ErrIndeterminate)
			}},
		} {
			met := make(chan struct{}, 1)
			h.Broker = b
			meet := func(hook func([]*broker.Task) error) func([]*broker.Task) error {
				if hook == nil {
					return nil
				}
				return func(tasks []*broker.Task) error {
					err := hook(tasks)
					select {
					case met <- struct{}{}:
					default:
					}
					return err
				}
			}
			h.before, h.after = meet(h.before), meet(h.after)
			end := relay(t, ob, h)
			<-met
			end()
			if left := d.count(t, outbox.DefaultTable); left != n {
				t.Errorf("%d rows after the death of a relay, want %d", left, n)
			}
		}
		relay(t, ob, b)
		empty(t, ob)
		eventually(t, "all tasks run", func() bool { return ran.total() >= n })
		stop()
		for i := range n {
			if ran.ran[i] != 1 {
				t.Errorf("task %d ran %d times, want once", i, ran.ran[i])
			}
		}
	})
}

// A relay whose context ends after the broker has stored a batch removes the rows all the same.
func TestRelayStops(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{}); err != nil {
				t.Fatal(err)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := ob.Run(ctx, &hooked{Broker: newBroker(t), after: func([]*broker.Task) error {
			cancel()
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
		if n := d.count(t, outbox.DefaultTable); n != 0 {
			t.Errorf("%d rows after the end of the relay, want 0", n)
		}
	})
}

// Relays share the work: no row that one has locked holds up another, and each task is stored once.
func TestRelaysShare(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		ob := d.outbox(t, outbox.Every(5*time.Millisecond))
		ob.SetTimes(time.Hour, time.Hour) // no time ends the wait of the relay that is held up
		var ran notes
		stop := serve(t, b, nil, task.Implement(noteTask, ran.handle))
		held, free := make(chan struct{}), make(chan struct{})
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{N: 0}); err != nil {
				t.Fatal(err)
			}
		})
		var first atomic.Bool
		slow := &hooked{Broker: b, before: func([]*broker.Task) error { // one relay is held up with a row in its hands
			if first.CompareAndSwap(false, true) {
				close(held)
				<-free
			}
			return nil
		}}
		relay(t, ob, slow)
		<-held
		for range 3 {
			relay(t, ob, b)
		}
		const n = 300
		d.inTx(t, func(tx *sql.Tx) {
			calls := make([]task.Call[int], 0, n)
			for i := 1; i <= n; i++ {
				calls = append(calls, noteTask.Bind(NoteArgs{N: i}))
			}
			if _, err := task.SendAll(t.Context(), ob.In(tx), calls...); err != nil {
				t.Fatal(err)
			}
		})
		eventually(t, "the other relays move all other tasks", func() bool { return ran.total() >= n })
		close(free)
		empty(t, ob)
		eventually(t, "all tasks run", func() bool { return ran.total() >= n+1 })
		stop()
		for i := range n + 1 {
			if ran.ran[i] != 1 {
				t.Errorf("task %d ran %d times, want once", i, ran.ran[i])
			}
		}
	})
}

// The rows of a relay that is cut off are freed by the database, although their connection seems to live.
func TestRelayCutOff(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		ob := d.outbox(t, outbox.Every(5*time.Millisecond), quiet)
		ob.SetTimes(time.Hour, time.Second) // the shortest time that MariaDB takes
		var ran notes
		stop := serve(t, b, nil, task.Implement(noteTask, ran.handle))
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{N: 1}); err != nil {
				t.Fatal(err)
			}
		})
		held, free := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		end := relay(t, ob, &hooked{Broker: b, before: func([]*broker.Task) error {
			if first.CompareAndSwap(false, true) {
				close(held)
				<-free
			}
			return nil
		}})
		<-held
		relay(t, ob, b)
		empty(t, ob)
		close(free) // the first relay goes on with what it has read
		end()
		eventually(t, "the task runs", func() bool { return ran.total() > 0 })
		stop()
		if ran.total() != 1 {
			t.Errorf("the task ran %d times, want once", ran.total())
		}
	})
}

// A large backlog is moved in batches that the broker accepts.
func TestBatches(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		d.inTx(t, func(tx *sql.Tx) {
			calls := make([]task.Call[int], 0, 2100)
			for i := range 2100 {
				text := ""
				if i < 12 {
					text = strings.Repeat("x", 900<<10)
				}
				calls = append(calls, noteTask.Bind(NoteArgs{N: i, Text: text}))
			}
			if _, err := task.SendAll(t.Context(), ob.In(tx), calls...); err != nil {
				t.Fatal(err)
			}
		})
		moved := make(chan int, 100)
		relay(t, ob, &hooked{Broker: newBroker(t), before: func(tasks []*broker.Task) error {
			size := 0
			for _, t := range tasks {
				size += len(t.Payload)
			}
			if len(tasks) > broker.MaxBatch || size > broker.MaxBatchBytes {
				t.Errorf("a batch of %d tasks with %d bytes", len(tasks), size)
			}
			moved <- len(tasks)
			return nil
		}})
		for n := 0; n < 2100; n += <-moved {
		}
		empty(t, ob)
	})
}

// The broker's error for a task decides what becomes of its row, and no row holds up the others.
func TestBrokerRefuses(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		ob := d.outbox(t, quiet)
		arb, err := arbiter.New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		if _, err := noteTask.With(task.Unique("taken"), task.Queue("unserved")).Apply(t.Context(), arb, NoteArgs{}); err != nil {
			t.Fatal(err)
		}
		ids := make(map[string]task.ID)
		d.inTx(t, func(tx *sql.Tx) {
			for n, name := range []string{"good", "bad", "away", "duplicate", "panics\x00\xff"} {
				h := noteTask
				if name == "duplicate" {
					h = h.With(task.Unique("taken"), task.Queue("unserved"))
				}
				fut, err := h.Apply(t.Context(), ob.In(tx), NoteArgs{N: n})
				if err != nil {
					t.Fatal(err)
				}
				ids[name] = fut.ID()
			}
		})
		var refuses atomic.Bool
		refuses.Store(true)
		relay(t, ob, &refusing{Broker: b, refuses: func(id task.ID) error {
			switch {
			case !refuses.Load():
			case id == ids["bad"]:
				return fmt.Errorf("%w: the payload", broker.ErrTooLarge)
			case id == ids["panics\x00\xff"]:
				return fmt.Errorf("%w: \x00\xff", broker.ErrInvalid)
			case id == ids["away"]:
				return broker.ErrUnavailable
			}
			return nil
		}})
		eventually(t, "two tasks are refused", func() bool {
			b, err := ob.Backlog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return b.Refused == 2 && b.Waiting == 1
		})
		all, err := ob.Refused(t.Context(), 10)
		if err != nil || len(all) != 2 || !slices.ContainsFunc(all, func(r outbox.RefusedTask) bool {
			return r.ID == ids["bad"] && r.Name == "note" && strings.Contains(r.Reason, "too large")
		}) {
			t.Errorf("the refused tasks are %+v (%v)", all, err)
		}
		if err := ob.Results(arb).Await(t.Context(), ids["bad"], nil); !errors.Is(err, outbox.ErrRefused) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("a wait for a refused task: %v", err)
		}
		if _, err := ob.Refused(t.Context(), 0); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("Refused with a limit of 0: %v", err)
		}
		refuses.Store(false)
		if n, err := ob.Discard(t.Context(), ids["panics\x00\xff"], ids["away"]); n != 1 || err != nil {
			t.Errorf("Discard returned %d, %v; want the refused one of two", n, err)
		}
		if n, err := ob.Retry(t.Context(), ids["bad"], ids["good"]); n != 1 || err != nil {
			t.Errorf("Retry returned %d, %v; want the refused one of two", n, err)
		}
		d.exec(t, d.db, "UPDATE arbiter_outbox SET due = 0") // the pause of the others is over
		ob.Wake()
		empty(t, ob)
		for name, want := range map[string]bool{"good": true, "bad": true, "away": true, "duplicate": false, "panics\x00\xff": false} {
			_, err := arb.Status(t.Context(), ids[name])
			if stored := err == nil; stored != want {
				t.Errorf("the task %q is stored: %v (%v)", name, stored, err)
			}
		}
	})
}

// While a queue is full, its tasks stay in the table, and those of other queues pass them.
func TestFullQueue(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		b := newBroker(t)
		bounds, err := broker.BounderOf(b, "the test")
		if err != nil {
			t.Fatal(err)
		}
		if err := bounds.SetBound(t.Context(), "small", 2); err != nil {
			t.Fatal(err)
		}
		logs := newLogs()
		ob := d.outbox(t, outbox.Logger(logs.logger()))
		d.inTx(t, func(tx *sql.Tx) {
			for n := range 6 {
				h := noteTask.With(task.Queue("small"))
				if n == 5 {
					h = noteTask
				}
				if _, err := h.Apply(t.Context(), ob.In(tx), NoteArgs{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		})
		var ran notes
		serve(t, b, []minion.Option{minion.Queue(task.DefaultQueue)}, task.Implement(noteTask, ran.handle))
		relay(t, ob, b)
		eventually(t, "the task of another queue runs", func() bool { return ran.total() == 1 })
		logs.wait(t, "queue=small")
		eventually(t, "the other tasks stay", func() bool {
			b, err := ob.Backlog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return b.Waiting == 3 && b.Refused == 0
		})
		if _, waiting, err := bounds.Bound(t.Context(), "small"); err != nil || waiting != 2 {
			t.Errorf("%d tasks wait in the queue (%v), want the 2 for which it has room", waiting, err)
		}
		if err := bounds.SetBound(t.Context(), "small", 0); err != nil {
			t.Fatal(err)
		}
		d.exec(t, d.db, "UPDATE arbiter_outbox SET due = 0") // their pause is over
		ob.Wake()
		empty(t, ob)
		if _, waiting, err := bounds.Bound(t.Context(), "small"); err != nil || waiting != 5 {
			t.Errorf("%d tasks wait in the queue (%v), want all 5", waiting, err)
		}
	})
}

// refusing is a broker that refuses some tasks.
type refusing struct {
	broker.Broker
	refuses func(id task.ID) error
}

func (r *refusing) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	errs := make([]error, len(tasks))
	for i, t := range tasks {
		if errs[i] = r.refuses(t.ID); errs[i] != nil {
			continue
		}
		err := r.Broker.Enqueue(ctx, []*broker.Task{t})
		if each, ok := errors.AsType[*broker.BatchError](err); ok {
			err = each.Errs[0]
		}
		errs[i] = err
	}
	return broker.NewBatchError(errs)
}

// A row that this version can't read is kept, and holds up no other.
func TestUnreadableRows(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t, quiet)
		var futs []*task.Future[int]
		d.inTx(t, func(tx *sql.Tx) {
			calls := make([]task.Call[int], 4)
			for i := range calls {
				calls[i] = noteTask.Bind(NoteArgs{N: i})
			}
			var err error
			if futs, err = task.SendAll(t.Context(), ob.In(tx), calls...); err != nil {
				t.Fatal(err)
			}
		})
		d.exec(t, d.db, "UPDATE arbiter_outbox SET version = 99 WHERE id = ?", futs[0].ID().String())
		d.exec(t, d.db, "UPDATE arbiter_outbox SET record = ? WHERE id = ?", []byte("damaged"), futs[1].ID().String())
		other := task.Named("other", task.Args()).Request()
		record, err := other.Prepare(arbiterCodec, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		d.exec(t, d.db, "UPDATE arbiter_outbox SET record = ? WHERE id = ?", wire.AppendSubmit(nil, record), futs[2].ID().String())
		stored := make(chan task.ID, 10)
		relay(t, ob, &hooked{Broker: newBroker(t), after: func(tasks []*broker.Task) error {
			for _, t := range tasks {
				stored <- t.ID
			}
			return nil
		}})
		if id := <-stored; id != futs[3].ID() {
			t.Errorf("the relay stored %s, want the only row that it can read", id)
		}
		eventually(t, "the rows are kept", func() bool {
			b, err := ob.Backlog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// A damaged first byte is that of a newer version.
			return b.Waiting+b.Refused == 3 && b.Refused >= 1
		})
	})
}

// Without the tables, the error says what makes them; when they are there, the relay goes on.
func TestNoTables(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		logs := newLogs()
		ob, err := outbox.New(d.db, d.Dialect, outbox.Logger(logs.logger()))
		if err != nil {
			t.Fatal(err)
		}
		relay(t, ob, newBroker(t))
		logs.wait(t, "Outbox.Migrate makes the tables")
		for range 2 { // it can be repeated
			if err := ob.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		logs.wait(t, "tasks are moved again")
	})
}

// A transaction of pgx is as good as one of database/sql.
func TestPgx(t *testing.T) {
	d := &database{source: postgres.source(t)}
	db, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	d.db = db
	ob := d.outbox(t)
	conn, err := pgx.Connect(t.Context(), d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	b := newBroker(t)
	var ran notes
	stop := serve(t, b, nil, task.Implement(noteTask, ran.handle))
	info := task.Info{ID: broker.NewTaskID("default", ""), Name: "note", Attempt: 1}
	ctx := task.NewContext(t.Context(), &info)
	for n, end := range []func(pgx.Tx) error{
		func(tx pgx.Tx) error { return tx.Rollback(ctx) },
		func(tx pgx.Tx) error { return tx.Commit(ctx) },
	} {
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := noteTask.Apply(ctx, ob.In(outbox.Pgx(tx)), NoteArgs{N: n}); err != nil {
			t.Fatal(err)
		}
		if err := ob.Done(ctx, outbox.Pgx(tx), n); err != nil {
			t.Fatal(err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := ob.Done(ctx, outbox.Pgx(tx), 2); !errors.Is(err, outbox.ErrDone) {
		t.Errorf("Done for the second time: %v, want ErrDone", err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if n, found, err := outbox.Find[int](ctx, ob); n != 1 || !found || err != nil {
		t.Errorf("Find returned %d, %v, %v; want 1", n, found, err)
	}
	relay(t, ob, b)
	empty(t, ob)
	eventually(t, "the task runs", func() bool { return ran.total() > 0 })
	stop()
	if ran.ran[0] != 0 || ran.ran[1] != 1 {
		t.Errorf("the tasks ran %v times, want only 1, once", ran.ran)
	}
	tx, err = conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "SELECT nothing"); err == nil {
		t.Fatal("the statement is no error")
	}
	if _, err := noteTask.Apply(ctx, ob.In(outbox.Pgx(tx)), NoteArgs{}); err == nil || !strings.Contains(err.Error(), "aborted") {
		t.Errorf("in a transaction that has failed: %v, want the error of the database", err)
	}
}

// Run says why it can't begin, and ends with its context or the broker.
func TestRun(t *testing.T) {
	d := &database{source: sqliteSource(t)}
	db, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	d.db = db
	ob := d.outbox(t, quiet)
	if err := ob.Run(t.Context(), nil); !errors.Is(err, task.ErrInvalid) {
		t.Errorf("Run without a broker: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	b := newBroker(t)
	if err := ob.Run(over, b); err != nil {
		t.Errorf("Run with a context that has ended: %v", err)
	}
	d.inTx(t, func(tx *sql.Tx) {
		if _, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{}); err != nil {
			t.Fatal(err)
		}
	})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ob.Run(t.Context(), b); !errors.Is(err, task.ErrClosed) {
		t.Errorf("Run on a closed broker: %v", err)
	}
}
