package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// Results returns a submitter that waits for results, also of tasks that are still in the table: with
// an arbiter alone, a wait right after the commit would end with [task.ErrNotFound], because the broker
// does not know the task yet. arb is an arbiter, or the Info of a running task.
//
//	fut, err := tasks.AddTask.Apply(ctx, ob.In(tx), 1, 2)
//	err = tx.Commit()
//	ob.Wake()
//	sum, err := task.NewFuture[int](ob.Results(arb), fut.ID()).Result(ctx)
//
// The errors of a wait are those of arb, and one that wraps [ErrRefused] if the broker has refused the
// task. It is task.ErrNotFound if the transaction is not committed. Calls that are sent with the
// submitter are sent with arb.
func (o *Outbox) Results(arb task.Submitter) task.Submitter {
	return &results{task.Info{Submitter: arb}, o}
}

// results is a [task.Submitter]. Its Info hands everything but Await to the submitter in it.
type results struct {
	task.Info
	o *Outbox
}

// Await implements [task.Submitter].
func (r *results) Await(ctx context.Context, id task.ID, into any) error {
	for try := 0; ; try++ {
		err := r.Info.Await(ctx, id, into)
		if !errors.Is(err, task.ErrNotFound) {
			return err
		}
		waits, missing := r.o.waits(ctx, id)
		if missing != nil {
			return missing
		}
		if !waits {
			// A relay removes the row after it has stored the task. So it is stored now, or it never was.
			return r.Info.Await(ctx, id, into)
		}
		if !backoff.Sleep(ctx, backoff.Delay(try, 20*time.Millisecond, time.Second)) {
			return &task.WaitError{ID: id, Reason: "it waits in the table " + r.o.s.table + " for a relay (Outbox.Run)", Seen: time.Now(), Err: ctx.Err()}
		}
	}
}

// waits reports whether the task of an id is in the table. The error wraps [ErrRefused] if the broker
// has refused it.
func (o *Outbox) waits(ctx context.Context, id task.ID) (bool, error) {
	var reason sql.NullString
	switch err := o.db.QueryRowContext(ctx, o.s.waits(), id.String()).Scan(&reason); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("outbox: look for task %s: %w", id, err)
	case reason.Valid:
		return false, fmt.Errorf("task %s: %w: %s", id, ErrRefused, reason.String)
	}
	return true, nil
}
