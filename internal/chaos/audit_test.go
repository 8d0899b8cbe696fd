//go:build unix

package chaos

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// audit asks for the results of all that was accepted or has started and is not
// among those that are known, and notes them.
func audit(ctx context.Context, b broker.Broker, events []Event, known map[task.ID]string, ledger Noter) (errs []error) {
	var ids []task.ID
	for _, e := range events {
		if e.ID == "" || e.Kind != Accepted && e.Kind != Start {
			continue
		}
		id, err := task.ParseID(e.ID)
		if err != nil {
			return []error{err}
		}
		if known[id] == "" {
			known[id], ids = e.Key, append(ids, id)
		}
	}
	arb, err := arbiter.New(b, arbiter.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return []error{err}
	}
	defer func() { _ = arb.Close() }()
	for st, err := range arb.WaitForTasks(ctx, ids...) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var v string
		if st.Outcome == arbiter.Succeeded {
			if err := st.Decode(&v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", known[st.ID], err))
			}
		}
		if e, ok := outcome(v, st.Err()); ok {
			e.Key, e.ID = known[st.ID], st.ID.String()
			ledger.Note(e)
		}
	}
	return errs
}
