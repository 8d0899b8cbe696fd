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

// requeueChildren requeues the children among the tasks of a submission that are dead letters.
// It returns false if it does not know whether that worked: then nothing is to be sent.
func (s *submission) requeueChildren(ctx context.Context, c *Client, from *Child) bool {
	ins, ok := c.b.(broker.Inspector)
	if !ok || from == nil {
		return true
	}
	var ids []broker.ID
	var positions []int
	for i, t := range s.records.tasks {
		if from.mayRequeue(t.ID) {
			ids, positions = append(ids, t.ID), append(positions, i)
		}
	}
	// The outcome of the failure may be in the table already. It is dropped first, so that a
	// wait does not get it.
	for len(ids) > 0 {
		n := min(len(ids), broker.MaxBatch)
		c.mu.Lock()
		for _, id := range ids[:n] {
			c.table.dropOutdated(id)
		}
		c.mu.Unlock()
		var errs []error
		err := c.persist(ctx, time.Now().Add(patience), func() (err error) {
			errs, err = ins.Requeue(ctx, ids[:n])
			return err
		})
		if err != nil {
			from.undoRequeue(ids)
			for i := range s.records.tasks {
				s.fail(s.position(i), fmt.Errorf("not sent: requeue of failed children: %w", err))
			}
			return false
		}
		for i, err := range errs {
			if err != nil && !errors.Is(err, broker.ErrNotFound) {
				// ErrNotFound: it is no dead letter.
				s.fail(s.position(positions[i]), fmt.Errorf("requeue: %w", err))
			}
		}
		ids, positions = ids[n:], positions[n:]
	}
	return true
}

// mayRequeue reports whether a child is requeued if it has failed for good. It returns true once
// for each child, in an attempt that follows a failure, and not after Reset.
func (s *Child) mayRequeue(id broker.ID) bool {
	if !s.Afresh {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, done := s.requeued[id]; done || s.again {
		return false
	}
	if s.requeued == nil {
		s.requeued = make(map[broker.ID]struct{})
	}
	s.requeued[id] = struct{}{}
	return true
}

// undoRequeue undoes mayRequeue, after requests that failed.
func (s *Child) undoRequeue(ids []broker.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.requeued, id)
	}
}

// dropOutdated drops an outcome that nobody has asked for yet, because the task is about to get
// another one.
func (t *table) dropOutdated(id broker.ID) {
	if e := t.entries.get(id); e != nil && e.record != nil && e.watch == nil && e.sending == 0 {
		t.drop(e)
	}
}
