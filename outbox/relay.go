package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// The relay moves rows to the broker in batches. A batch is one transaction:
//
//  1. Rows that are due are read and locked. Rows that another relay has locked are left out, so
//     relays share the work. No position is remembered: a transaction that was begun earlier and
//     is committed later leaves no row behind.
//  2. Their tasks are stored in the broker, with the ids of the rows.
//  3. The rows are removed.
//
// A relay may die at any line. If it dies before 2, nothing has happened. If it dies after 2, the
// next relay stores the same tasks again, and the broker knows their ids. Only a broker that has
// forgotten an id would run a task again; docs/transactions.md says when that is.
//
// SQLite has no locks of rows, and locks the whole database for a transaction that writes. There 1 and
// 3 are transactions of their own, so that nobody waits for the broker. Two relays may then move the
// same row, which is a repeat like any other.

const (
	// moveTime bounds a batch. It is much shorter than the time for which a broker remembers the id of a
	// task that has ended (broker.MinTombstone): a relay that was suspended between the steps gives
	// up instead of storing tasks that another relay may have moved long ago.
	moveTime = 30 * time.Second
	// idleTime is the time after which the database frees the rows of a relay that is cut off. A relay that is not
	// gives up before.
	idleTime = 2 * moveTime
	// pauseAfter is the pause before a row is tried again that could not be moved with the others.
	pauseAfter = 5 * time.Second
	// pauseNewer is the same for a row of a newer version, which another relay may take meanwhile.
	pauseNewer = time.Minute
	// forgetEvery is how often a relay forgets old results.
	forgetEvery = time.Minute
	// repeatLog is how often an error that lasts is logged.
	repeatLog = time.Minute
)

// Wake makes a relay of this process look for tasks at once. Call it after a commit; it never blocks.
// Without it the task is moved within the time of [Every].
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // a relay has yet to look
	}
}

// Run is the relay: it moves the tasks of committed transactions to the broker until ctx ends, and then
// returns nil. Any number of processes may run it, and any number of goroutines of a process; one is enough
// for thousands of tasks a second. It also forgets old results, see [KeepResults].
//
// If the database or the broker can't be reached, Run logs it and tries again, at most five seconds later.
// The error wraps [task.ErrInvalid] if b is nil, and [task.ErrClosed] if b was closed.
func (o *Outbox) Run(ctx context.Context, b broker.Broker) error {
	if b == nil {
		return invalid("the broker is nil")
	}
	r := relay{o: o, b: b}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		more, err := r.move(ctx)
		if err == nil {
			err = r.forget(ctx)
		}
		if errors.Is(err, broker.ErrClosed) {
			return fmt.Errorf("outbox: %w", err)
		}
		r.report(ctx, err)
		pause := o.every
		switch {
		case err != nil:
			pause = backoff.Delay(r.tries, 100*time.Millisecond, 5*time.Second)
			r.tries++
		case more:
			r.tries = 0
			continue
		default:
			r.tries = 0
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-o.wake:
		}
	}
	return nil
}

// relay is one Run.
type relay struct {
	o *Outbox
	b broker.Broker

	tries     int       // errors since the last success
	logged    time.Time // when the error that lasts was last logged; zero if there is none
	crowded   time.Time // when it was last logged that a queue is full
	forgotten time.Time // when old results were last forgotten
}

// report logs the result of a look: an error once and then once a minute, and the first success after
// it.
func (r *relay) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil && !r.logged.IsZero():
		r.logged = time.Time{}
		r.o.log.Info("outbox: tasks are moved again", "table", r.o.s.table)
	case err != nil && time.Since(r.logged) >= repeatLog:
		r.logged = time.Now()
		r.o.log.Warn("outbox: tasks can't be moved; they stay in the database", "table", r.o.s.table, "err", err)
	}
}

// querier is a *sql.Tx or a *sql.DB.
type querier interface {
	Tx
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// held is a row that a relay has taken.
type held struct {
	id      string
	version int
	size    int64
	age     time.Duration // since the call was sent
	task    *broker.Task
	fate    fate
	reason  error // why it was not moved
}

// fate is what becomes of a row.
type fate uint8

const (
	moved   fate = iota // the broker has it: the row is removed
	dropped             // it will never be stored, as another task has its unique key: the row is removed
	refused             // it will never be stored: the row is kept for an operator
	later               // it is tried again after pauseAfter
	crowded             // its queue is full: it is tried again after pauseAfter, without a line in the log for each
	newer               // a newer relay is to take it: it is tried again after pauseNewer
)

// move moves one batch. more says that there may be further rows.
func (r *relay) move(ctx context.Context) (more bool, err error) {
	// When ctx ends, the rows whose tasks are in the broker are still removed. So the transaction has a context
	// of its own.
	begun := time.Now()
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.times.move)
	defer cancel()
	ctx, cancelEarly := context.WithTimeout(ctx, r.o.times.move)
	defer cancelEarly()
	var q querier = r.o.db
	commit := func() error { return nil }
	if r.o.s.d != SQLite {
		// MySQL's default, repeatable read, would also lock gaps between rows, in which others insert.
		tx, err := r.o.db.BeginTx(work, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return false, fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, r.o.s.idle(r.o.times.idle)); err != nil {
			return false, fmt.Errorf("begin: %w", err)
		}
		q, commit = tx, tx.Commit
	}
	batch, more, err := r.take(ctx, q)
	if err != nil || len(batch) == 0 {
		return false, err
	}
	if err := r.load(ctx, q, batch); err != nil {
		return false, err
	}
	if took := elapsed(begun); took > r.o.times.move {
		return false, fmt.Errorf("it took %v to read the tasks that wait; the limit is %v, since another relay may have moved them meanwhile", took, r.o.times.move)
	}
	if err := r.store(ctx, batch); err != nil {
		return false, err
	}
	if err := r.settle(work, q, batch); err != nil {
		return false, err
	}
	if err := commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	return more, nil
}

// elapsed returns how long ago begun was, by the monotonic clock or the wall clock, whichever says more: the
// former stands still while a machine is suspended.
func elapsed(begun time.Time) time.Duration {
	return max(time.Since(begun), time.Now().Round(0).Sub(begun.Round(0)))
}

// take reads the rows of a batch, without their records.
func (r *relay) take(ctx context.Context, q querier) (batch []held, more bool, err error) {
	rows, err := q.QueryContext(ctx, r.o.s.take(broker.MaxBatch))
	if err != nil {
		return nil, false, fmt.Errorf("read the tasks that wait (Outbox.Migrate makes the tables): %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var h held
		var age int64
		if err := rows.Scan(&h.id, &h.version, &h.size, &age); err != nil {
			return nil, false, fmt.Errorf("read the tasks that wait: %w", err)
		}
		h.age = time.Duration(max(age, 0)) * time.Millisecond // the clock of the database may have been set back
		batch = append(batch, h)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("read the tasks that wait: %w", err)
	}
	more = len(batch) == broker.MaxBatch
	total := int64(0)
	for i := range batch {
		if total += batch[i].size; total > broker.MaxBatchBytes && i > 0 {
			return batch[:i], true, nil
		}
	}
	return batch, more, nil
}

// load reads the records of a batch.
func (r *relay) load(ctx context.Context, q querier, batch []held) error {
	at := make(map[string]*held, len(batch))
	ids := make([]any, len(batch))
	for i := range batch {
		at[batch[i].id], ids[i] = &batch[i], batch[i].id
		batch[i].fate = moved // if the row is gone, another relay has moved it
	}
	rows, err := q.QueryContext(ctx, r.o.s.load(len(ids)), ids...)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		var record sql.RawBytes
		if err := rows.Scan(&id, &record); err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		if h := at[id]; h != nil {
			h.read(record)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return nil
}

// read reads the record of a row. The task does not refer to the record.
func (h *held) read(record []byte) {
	if h.version != versionTask {
		h.fate, h.reason = newer, fmt.Errorf("%w %d of a row, this program reads %d", broker.ErrVersion, h.version, versionTask)
		return
	}
	t, err := wire.ParseSubmit(record)
	switch {
	case errors.Is(err, broker.ErrVersion):
		h.fate, h.reason = newer, err
		return
	case err != nil:
		h.fate, h.reason = refused, err
		return
	case t.ID.String() != h.id:
		h.fate, h.reason = refused, fmt.Errorf("%w: the record is of task %s", broker.ErrMalformed, t.ID)
		return
	}
	// The times count from the submission in the transaction.
	t.Delay = max(t.Delay-h.age, 0)
	if t.Deadline != 0 {
		t.Deadline = max(t.Deadline-h.age, time.Nanosecond) // a deadline that has passed stays one: 0 would be none
	}
	t.Bounded = true // the caller can't be told that the queue is full, but the row can wait for room
	h.task = t
}

// store stores the tasks of a batch in the broker, and decides the fate of each row. An error says that the broker
// can't be reached, or that it is not known what it has stored; the rows stay as they are then.
func (r *relay) store(ctx context.Context, batch []held) error {
	tasks := make([]*broker.Task, 0, len(batch))
	rows := make([]*held, 0, len(batch))
	for i := range batch {
		if batch[i].task != nil {
			tasks, rows = append(tasks, batch[i].task), append(rows, &batch[i])
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	err := r.b.Enqueue(ctx, tasks)
	if err == nil {
		return nil
	}
	each, ok := errors.AsType[*broker.BatchError](err)
	if !ok || len(each.Errs) != len(tasks) {
		return fmt.Errorf("store in the broker: %w", err)
	}
	stored := false
	for i, err := range each.Errs {
		rows[i].judge(err)
		stored = stored || rows[i].fate != later
	}
	if !stored { // the broker is away; the rows need not be written
		return fmt.Errorf("store in the broker: %w", err)
	}
	return nil
}

// judge decides the fate of a row by the broker's error for its task.
func (h *held) judge(err error) {
	h.fate, h.reason = later, err
	if err == nil {
		h.fate = moved
		return
	}
	for _, again := range []error{broker.ErrIndeterminate, broker.ErrUnavailable, broker.ErrDamaged, broker.ErrMalformed, broker.ErrVersion} {
		if errors.Is(err, again) {
			return
		}
	}
	dup, ok := errors.AsType[*broker.DuplicateError](err)
	switch {
	case errors.Is(err, broker.ErrFull):
		h.fate = crowded
	case ok && dup.Key != "":
		h.fate = dropped
	case ok, errors.Is(err, broker.ErrInvalid):
		h.fate = refused
	}
}

// settle writes the fates of a batch.
func (r *relay) settle(ctx context.Context, q querier, batch []held) error {
	var gone, pause, wait []any
	for i := range batch {
		h := &batch[i]
		switch h.fate {
		case moved:
			gone = append(gone, h.id)
		case dropped:
			gone = append(gone, h.id)
			r.o.log.Info("outbox: a task is not sent, since another one has its unique key", "id", h.id, "name", h.task.Name, "err", h.reason)
		case refused:
			r.o.log.Warn("outbox: the broker refuses a task; it stays in the database, see Outbox.Refused", "id", h.id, "err", h.reason)
			text := strings.ToValidUTF8(strings.ReplaceAll(h.reason.Error(), "\x00", ""), "?")
			if _, err := q.ExecContext(ctx, r.o.s.refuse(), text[:min(len(text), maxReason)], h.id); err != nil {
				return fmt.Errorf("mark a task as refused: %w", err)
			}
		case later:
			pause = append(pause, h.id)
			r.o.log.Warn("outbox: a task can't be moved; it is tried again", "id", h.id, "after", pauseAfter, "err", h.reason)
		case crowded:
			pause = append(pause, h.id)
			if time.Since(r.crowded) >= repeatLog {
				r.crowded = time.Now()
				r.o.log.Warn("outbox: tasks stay in the database until their queue has room", "queue", h.task.Queue, "after", pauseAfter, "err", h.reason)
			}
		case newer:
			wait = append(wait, h.id)
			r.o.log.Warn("outbox: a row is of a newer version of this package; it is left to a newer relay", "id", h.id, "err", h.reason)
		}
	}
	for _, change := range []struct {
		ids  []any
		what func(n int) string
	}{
		{gone, r.o.s.remove},
		{pause, func(n int) string { return r.o.s.postpone(n, pauseAfter) }},
		{wait, func(n int) string { return r.o.s.postpone(n, pauseNewer) }},
	} {
		if len(change.ids) == 0 {
			continue
		}
		if _, err := q.ExecContext(ctx, change.what(len(change.ids)), change.ids...); err != nil {
			return fmt.Errorf("remove the tasks that were moved: %w", err)
		}
	}
	return nil
}

// maxReason is the most bytes of the reason of a refused row.
const maxReason = 1000

// forget removes old results, once a minute.
func (r *relay) forget(ctx context.Context) error {
	if time.Since(r.forgotten) < forgetEvery {
		return nil
	}
	r.forgotten = time.Now()
	_, err := r.o.Forget(ctx)
	return err
}
