package childtask

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// stepStore saves and loads the durable steps of a handler in a child, through its minion. The minion
// checks that it still owns the attempt, and seals and opens the data.
type stepStore struct {
	p      *submitter
	signal string // the signal that the task waits for; sent with the result of the handler
}

// Save implements [durable.Store]. A step that is done is saved although its context has just ended, as
// in the minion; otherwise a later attempt would do it again.
func (s *stepStore) Save(ctx context.Context, one broker.Step) error {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(answerTime, end) })()
	r, err := s.p.ask(longer, &query{Save: &one}, answerTime)
	if err != nil {
		return err
	}
	return r.Err.Unpack()
}

// Load implements [durable.Store].
func (s *stepStore) Load(ctx context.Context) (broker.Saved, error) {
	r, err := s.p.ask(ctx, &query{Load: true}, 0)
	if err != nil {
		return broker.Saved{}, err
	}
	if r.Err != nil || r.Saved == nil {
		return broker.Saved{}, r.Err.Unpack()
	}
	return *r.Saved, nil
}

// Await implements [durable.Store].
func (s *stepStore) Await(signal string) { s.signal = signal }
