package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A task that runs again after a failure sends the same children, which have the same ids.
// Children that succeeded keep their results. A child that has failed for good would make the
// parent fail each time, so it is requeued: it runs again under its id, with all its retries.
// Each attempt does that at most once for a child.

// revive requeues the children among the tasks of a submission that are dead letters. It
// returns false if it does not know whether that worked: then nothing is to be sent.
func (s *submission) revive(ctx context.Context, c *Client, from *Child) bool {
	ins, ok := c.b.(broker.Inspector)
	if !ok || from == nil {
		return true
	}
	var ids []broker.ID
	var places []int
	for i, t := range s.tasks {
		if from.revives(t.ID) {
			ids, places = append(ids, t.ID), append(places, i)
		}
	}
	// The outcome of the failure may be in the table already. It is dropped first, so that a
	// wait does not get it.
	for len(ids) > 0 {
		n := min(len(ids), broker.MaxBatch)
		c.mu.Lock()
		for _, id := range ids[:n] {
			c.table.outdate(id)
		}
		c.mu.Unlock()
		var errs []error
		err := c.persist(ctx, time.Now().Add(patience), func() (err error) {
			errs, err = ins.Requeue(ctx, ids[:n])
			return err
		})
		if err != nil {
			from.unrevived(ids)
			for i := range s.tasks {
				s.fail(s.place(i), fmt.Errorf("not sent: requeue of failed children: %w", err))
			}
			return false
		}
		for i, err := range errs {
			if err != nil && !errors.Is(err, broker.ErrNotFound) {
				// ErrNotFound: it is no dead letter.
				s.fail(s.place(places[i]), fmt.Errorf("requeue: %w", err))
			}
		}
		ids, places = ids[n:], places[n:]
	}
	return true
}

// revives reports whether a child is requeued if it has failed for good. It returns true once
// for each child, in an attempt that follows a failure, and not after Reset.
func (s *Child) revives(id broker.ID) bool {
	if !s.Afresh {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, done := s.revived[id]; done || s.again {
		return false
	}
	if s.revived == nil {
		s.revived = make(map[broker.ID]struct{})
	}
	s.revived[id] = struct{}{}
	return true
}

// unrevived undoes revives, after requests that failed.
func (s *Child) unrevived(ids []broker.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.revived, id)
	}
}

// outdate drops an outcome that nobody has asked for yet, because the task is about to get
// another one.
func (t *table) outdate(id broker.ID) {
	if e := t.entries.get(id); e != nil && e.record != nil && e.watch == nil && e.sending == 0 {
		t.drop(e)
	}
}
