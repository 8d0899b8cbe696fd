package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// versionOutcome is the version of a stored result: wire.AppendOutcome.
const versionOutcome = 1

// Done stores the result of the running task in tx, beside the handler's own writes. Once tx is committed,
// the task is done: a further attempt finds the result with [Find], and need not run the handler again.
// [Once] does all of this. ctx is the context of the handler. For a handler that returns only an error,
// result is [task.None]{}.
//
// If another attempt of the task has committed its result, Done stores nothing, and the error wraps
// [ErrDone]: roll tx back, so that the writes count once, and return the result of [Find]. If another
// attempt is about to commit, Done waits for it. So of all attempts of a task exactly one is committed,
// also if a process is stopped, and goes on after another minion has got its task.
//
// The result is encoded, and sealed if the codec of the outbox seals. The error wraps [task.ErrBadResult] if
// the result can't be encoded or is over the limit, and [task.ErrInvalid] outside of an attempt.
func (o *Outbox) Done(ctx context.Context, tx Tx, result any) error {
	info, err := attempt(ctx, "Done")
	if err != nil {
		return err
	}
	if tx == nil {
		return invalid("the transaction is nil")
	}
	record, err := o.outcome(&info, result)
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, o.s.finish(), info.ID.String(), versionOutcome, info.Name, int64(info.Attempt), record)
	if err != nil {
		return fmt.Errorf("outbox: store the result in %s: %w", o.s.done(), err)
	}
	switch n, err := res.RowsAffected(); {
	case err != nil:
		return fmt.Errorf("outbox: store the result in %s: %w", o.s.done(), err)
	case n == 0:
		return fmt.Errorf("task %s (%s): %w: roll the transaction back", info.ID, info.Name, ErrDone)
	}
	return nil
}

// attempt returns the attempt that ctx belongs to.
func attempt(ctx context.Context, what string) (task.Info, error) {
	info, ok := task.FromContext(ctx)
	if !ok || info.ID.IsZero() {
		return task.Info{}, invalid("%s outside of an attempt: it needs the context of a handler", what)
	}
	return info, nil
}

// outcome returns the record of a result.
func (o *Outbox) outcome(info *task.Info, result any) ([]byte, error) {
	out := broker.Outcome{
		State: broker.StateSucceeded, Name: info.Name, Codec: o.codec.Name(), Attempts: info.Attempt, Enqueued: info.Enqueued, Finished: time.Now(),
	}
	fail := func(err error) error {
		return fmt.Errorf("outbox: task %s (%s): %w: %w", info.ID, info.Name, task.ErrBadResult, err)
	}
	if _, none := result.(task.None); !none {
		var err error
		if out.Result, err = o.encode(result); err != nil {
			return nil, fail(err)
		}
	}
	if s := seal.Of(o.codec); s != nil {
		if err := seal.Outcome(s, info.ID, &out); err != nil {
			return nil, fail(err)
		}
	}
	if n := len(out.Result); n > o.limits.Result {
		// The minion would find it after the commit, and the task would fail although it is done.
		return nil, fail(fmt.Errorf("%w: a result of %d bytes, the limit is %d", task.ErrTooLarge, n, o.limits.Result))
	}
	return wire.AppendOutcome(nil, &out), nil
}

// encode encodes a result with the codec, which may be a user's and panic.
func (o *Outbox) encode(result any) (data []byte, err error) {
	defer guard.Codec(o.codec.Name(), "AppendValue", &err)
	return seal.Plain(o.codec).AppendValue(nil, result)
}

// Find returns the result that an earlier attempt of the running task has stored with [Outbox.Done], and
// whether there is one. ctx is the context of the handler, and Result the type of its result.
func Find[Result any](ctx context.Context, o *Outbox) (result Result, found bool, err error) {
	info, err := attempt(ctx, "Find")
	if err != nil {
		return result, false, err
	}
	var version int
	var record []byte
	switch err := o.db.QueryRowContext(ctx, o.s.find(), info.ID.String()).Scan(&version, &record); {
	case errors.Is(err, sql.ErrNoRows):
		return result, false, nil
	case err != nil:
		return result, false, fmt.Errorf("outbox: look for the result of task %s (%s): %w", info.ID, info.Name, err)
	case version != versionOutcome:
		return result, false, fmt.Errorf("outbox: the result of task %s (%s): %w %d, this program reads %d", info.ID, info.Name, broker.ErrVersion, version, versionOutcome)
	}
	out, err := wire.ParseOutcome(record)
	if err == nil {
		err = client.Decode(info.ID, &out, &result, o.codecs)
	}
	if err != nil {
		var none Result
		return none, false, fmt.Errorf("outbox: the stored result: %w", err)
	}
	return result, true, nil
}

// Once runs fn in a transaction and stores its result with [Outbox.Done], so that the writes of fn and "this
// task is done" are committed together. It is the body of a handler:
//
//	func Ship(ctx context.Context, order Order) (Receipt, error) {
//		return outbox.Once(ctx, ob, func(tx *sql.Tx) (Receipt, error) {
//			if _, err := tx.ExecContext(ctx, "UPDATE orders …"); err != nil {
//				return Receipt{}, err
//			}
//			_, err := NotifyTask.Apply(ctx, ob.In(tx), order.Customer)
//			return Receipt{…}, err
//		})
//	}
//
// If an earlier attempt of the task has committed, Once returns its result, and does not call fn. If fn
// returns an error or panics, or ctx ends, the transaction is rolled back. If another attempt commits
// while fn runs, the transaction is rolled back, too, and Once returns the result of the other one. An
// error of the commit may leave open whether it took effect; the next attempt finds out.
//
// fn must not commit or roll back the transaction, and must not keep it. For another level of isolation, or
// another library, use Find and Done.
func Once[Result any](ctx context.Context, o *Outbox, fn func(tx *sql.Tx) (Result, error)) (Result, error) {
	var none Result
	result, found, err := Find[Result](ctx, o)
	if found || err != nil {
		return result, err
	}
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return none, fmt.Errorf("outbox: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if result, err = fn(tx); err != nil {
		return none, err
	}
	switch err := o.Done(ctx, tx, result); {
	case errors.Is(err, ErrDone):
		_ = tx.Rollback() // also frees its connection for Find
		result, found, findErr := Find[Result](ctx, o)
		if !found && findErr == nil {
			findErr = err // it was forgotten meanwhile
		}
		return result, findErr
	case err != nil:
		return none, err
	}
	if err := tx.Commit(); err != nil {
		return none, fmt.Errorf("outbox: commit: %w", err)
	}
	o.Wake()
	return result, nil
}
