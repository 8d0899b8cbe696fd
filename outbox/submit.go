package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// The versions of a stored record. A relay leaves a row of a version that it does not know to a newer
// one.
const versionTask = 1 // of wire.AppendSubmit

// In returns a submitter whose calls are tasks once tx is committed. If tx is rolled back, they never
// were. Handles and calls take it in place of an arbiter:
//
//	fut, err := tasks.AddTask.Apply(ctx, ob.In(tx), 1, 2)
//
// A call has its id at once. After the commit a relay stores the task in the broker, see
// [Outbox.Run]. Delays and deadlines count from the submission, by the clock of the database. The
// arguments are encoded, and sealed if the codec of the outbox seals, before they are stored in the
// database.
//
// A call is checked as an arbiter checks it, and refused with the same errors. These are refused, too,
// with an error that wraps [task.ErrInvalid] and names the remedy: groups and pipes,
// task.OnConflict(task.ConflictJoin), and, within a handler, task.Inherit. Waiting for a result with the
// submitter fails with [task.ErrNotSubmitted]; see [Outbox.Results].
//
// An error of the database is returned as it is, inside a [*task.SubmitError]. As with all errors of a
// transaction, roll it back. Sending the same call again is a repeat, in this transaction and in the
// next one: it makes one task.
func (o *Outbox) In(tx Tx) task.Submitter { return &submitter{o, tx} }

// submitter is a [task.Submitter] that writes rows.
type submitter struct {
	o  *Outbox
	tx Tx
}

// The most rows of one statement, and the most bytes of their records. Databases limit the size of a
// statement, and the number of its parameters.
const (
	addRows  = 250
	addBytes = 1 << 20
)

// row is a task as it is stored.
type row struct {
	id     broker.ID
	name   string
	record []byte
	call   int // the position of its call in the submission
}

// Submit implements [task.Submitter].
func (s *submitter) Submit(ctx context.Context, calls ...task.Bound) error {
	sub := submission{calls: calls}
	if s.tx == nil {
		sub.fail(0, len(calls), invalid("the transaction is nil"))
		return sub.err()
	}
	p := preparer{o: s.o, now: time.Now()}
	if info, ok := task.FromContext(ctx); ok {
		p.parent = info.ID
	}
	if len(calls) > 1 {
		p.block = new(broker.Block)
	}
	for i, call := range calls {
		if call != nil && call.Request().Spreads() {
			request.Spread(calls)
		}
		r, err := p.prepare(call)
		if err != nil {
			sub.fail(i, i+1, err)
			continue
		}
		r.call = i
		if sub.rows, sub.size = append(sub.rows, r), sub.size+len(r.record); len(sub.rows) < addRows && sub.size < addBytes {
			continue
		}
		if err := s.flush(ctx, &sub); err != nil {
			// After an error PostgreSQL executes nothing more of the transaction.
			sub.fail(i+1, len(calls), fmt.Errorf("not sent: %w", err))
			return sub.err()
		}
	}
	_ = s.flush(ctx, &sub) // its error is in sub
	return sub.err()
}

// submission is a Submit under way.
type submission struct {
	calls  []task.Bound
	rows   []row // are to be stored
	size   int   // of their records
	failed []task.FailedCall
}

// fail sets the error of the calls from the position first up to the one before end.
func (s *submission) fail(first, end int, err error) {
	for i := first; i < end; i++ {
		f := task.FailedCall{Index: i, Name: "call", Err: err}
		if s.calls[i] != nil && s.calls[i].Request() != nil {
			f.ID, f.Name = s.calls[i].Request().ID(), s.calls[i].Request().Name()
		}
		s.failed = append(s.failed, f)
	}
}

// err returns a [*task.SubmitError] with all calls that failed, or nil.
func (s *submission) err() error {
	if s.failed == nil {
		return nil
	}
	slices.SortFunc(s.failed, func(a, b task.FailedCall) int { return a.Index - b.Index })
	return &task.SubmitError{Failed: s.failed, Total: len(s.calls)}
}

// flush stores the rows of a submission. An error is also that of their calls.
func (s *submitter) flush(ctx context.Context, sub *submission) error {
	if len(sub.rows) == 0 {
		return nil
	}
	err := s.add(ctx, sub.rows)
	if err != nil {
		for _, r := range sub.rows {
			sub.fail(r.call, r.call+1, err)
		}
	}
	sub.rows, sub.size = sub.rows[:0], 0
	return err
}

// add stores rows.
func (s *submitter) add(ctx context.Context, rows []row) error {
	args := make([]any, 0, 4*len(rows))
	for _, r := range rows {
		args = append(args, r.id.String(), versionTask, r.name, r.record)
	}
	if _, err := s.tx.ExecContext(ctx, s.o.s.add(len(rows)), args...); err != nil {
		return fmt.Errorf("outbox: store the task in %s: %w", s.o.s.table, err)
	}
	return nil
}

// Await implements [task.Submitter].
func (s *submitter) Await(_ context.Context, id task.ID, _ any) error {
	return fmt.Errorf("task %s: %w: it is sent when its transaction is committed; after that, wait with a future of Outbox.Results and this id",
		id, task.ErrNotSubmitted)
}

// preparer makes the rows of one submission.
type preparer struct {
	o      *Outbox
	now    time.Time
	parent broker.ID     // the running task that sends them; zero if none does
	block  *broker.Block // makes the ids of several calls; nil for one
}

// prepare returns the row of a call.
func (p *preparer) prepare(call task.Bound) (row, error) {
	var req *request.Request
	if call != nil {
		req = call.Request()
	}
	if req == nil {
		return row{}, invalid("the zero Call; make one with Bind")
	}
	if err := p.check(req); err != nil {
		return row{}, err
	}
	t := new(broker.Task)
	if err := req.Draft(t, p.o.codec, p.now, nil); err != nil {
		return row{}, err
	}
	if err := t.CheckDraft(p.o.limits); err != nil {
		return row{}, err
	}
	req.Identify(t, p.newID)
	t.Parent = p.parent
	if err := req.Seal(t, p.o.codec); err != nil {
		return row{}, err
	}
	if err := t.Check(p.o.limits); err != nil { // the seal makes it longer
		return row{}, err
	}
	return row{id: t.ID, name: t.Name, record: wire.AppendSubmit(nil, t)}, nil
}

// check returns the reason why a call can't be sent in a transaction.
func (p *preparer) check(req *request.Request) error {
	settings := req.Settings()
	switch {
	case req.Flow() != nil:
		return errors.Join(req.Check(), fmt.Errorf("%s: %w: it can't be sent in a transaction, since its parts are stored one after the other; "+
			"send a task in the transaction whose handler sends it", req.Name(), task.ErrInvalid))
	case req.Upstream() != "":
		return fmt.Errorf("task %s: %w: it waits for the result of another one; send it by task.Then, from a handler", req.Name(), task.ErrInvalid)
	case settings.Unique.OnConflict == request.ConflictJoin:
		return fmt.Errorf("task %s: %w option: OnConflict(ConflictJoin) in a transaction: who has the key is known only after the commit; "+
			"use another conflict, or send the call with an arbiter", req.Name(), task.ErrInvalid)
	case settings.Inherit && !p.parent.IsZero():
		return fmt.Errorf("task %s: %w option: Inherit in a transaction: the task is stored after the commit, perhaps by another process; "+
			"give the call task.Detach, or send it with the Info of the context", req.Name(), task.ErrInvalid)
	}
	return nil
}

// newID returns an id for a draft.
func (p *preparer) newID(t *broker.Task) broker.ID {
	if p.block == nil || t.Unique.Key != "" || t.Lane != nil {
		return t.NewID()
	}
	return p.block.NewTaskID(t.Queue, len(t.Payload))
}
