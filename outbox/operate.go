package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Backlog is what the table of an outbox holds.
type Backlog struct {
	Waiting int           // tasks that are committed and not moved yet
	Oldest  time.Duration // how long ago the oldest of them was sent; 0 if there is none
	Refused int           // tasks that the broker has refused, see [Outbox.Refused]
}

// Backlog returns what the table holds now. It counts all rows of the table.
func (o *Outbox) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	var age int64
	if err := o.db.QueryRowContext(ctx, o.s.backlog()).Scan(&b.Waiting, &b.Refused, &age); err != nil {
		return Backlog{}, fmt.Errorf("outbox: count the tasks that wait: %w", err)
	}
	b.Oldest = time.Duration(max(age, 0)) * time.Millisecond
	return b, nil
}

// RefusedTask is a task that the broker has refused.
type RefusedTask struct {
	ID     task.ID
	Name   string
	Age    time.Duration // since it was sent
	Reason string        // the broker's error
}

// Refused returns up to limit tasks that the broker has refused for good, the oldest first. Examples
// are a payload over the limit of this broker, or a capability that the broker lacks. They stay in the
// table until [Outbox.Retry] or [Outbox.Discard].
func (o *Outbox) Refused(ctx context.Context, limit int) ([]RefusedTask, error) {
	if limit < 1 {
		return nil, invalid("a limit of %d refused tasks, want 1 or more", limit)
	}
	rows, err := o.db.QueryContext(ctx, o.s.refused(limit))
	if err != nil {
		return nil, fmt.Errorf("outbox: list the refused tasks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []RefusedTask
	for rows.Next() {
		var t RefusedTask
		var id string
		var reason sql.NullString
		var age int64
		if err := rows.Scan(&id, &t.Name, &age, &reason); err != nil {
			return nil, fmt.Errorf("outbox: list the refused tasks: %w", err)
		}
		if t.ID, err = broker.ParseID(id); err != nil {
			return nil, fmt.Errorf("outbox: list the refused tasks: %w", err)
		}
		t.Age, t.Reason = time.Duration(max(age, 0))*time.Millisecond, reason.String
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("outbox: list the refused tasks: %w", err)
	}
	return all, nil
}

// Retry lets the relays try refused tasks again, and returns how many of the ids were refused tasks.
func (o *Outbox) Retry(ctx context.Context, ids ...task.ID) (int, error) {
	return o.change(ctx, ids, "retry", o.s.retry)
}

// Discard removes refused tasks, and returns how many of the ids were refused tasks. They never run.
func (o *Outbox) Discard(ctx context.Context, ids ...task.ID) (int, error) {
	return o.change(ctx, ids, "discard", o.s.drop)
}

// change executes a statement for refused rows, up to MaxBatch at a time.
func (o *Outbox) change(ctx context.Context, ids []task.ID, what string, statement func(n int) string) (n int, err error) {
	for len(ids) > 0 {
		part := ids[:min(len(ids), broker.MaxBatch)]
		ids = ids[len(part):]
		args := make([]any, len(part))
		for i, id := range part {
			args[i] = id.String()
		}
		result, err := o.db.ExecContext(ctx, statement(len(args)), args...)
		if err != nil {
			return n, fmt.Errorf("outbox: %s refused tasks: %w", what, err)
		}
		changed, err := result.RowsAffected()
		if err != nil {
			return n, fmt.Errorf("outbox: %s refused tasks: %w", what, err)
		}
		n += int(changed)
	}
	return n, nil
}

// Forget removes the results that are older than [KeepResults] says, and returns their number. Relays
// call it once a minute. A program without a relay calls it from time to time.
func (o *Outbox) Forget(ctx context.Context) (int, error) {
	for n := 0; ; {
		result, err := o.db.ExecContext(ctx, o.s.forget(o.keep, broker.MaxBatch))
		if err != nil {
			return n, fmt.Errorf("outbox: forget old results: %w", err)
		}
		removed, err := result.RowsAffected()
		if err != nil {
			return n, fmt.Errorf("outbox: forget old results: %w", err)
		}
		n += int(removed)
		if removed < broker.MaxBatch {
			return n, nil
		}
	}
}
