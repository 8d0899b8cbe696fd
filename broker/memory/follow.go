package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
)

// followers are the inboxes that outcomes are pushed to beside those that tasks were
// stored with.
type followers struct {
	n   atomic.Int64 // how many ids are followed; mostly none
	mu  sync.Mutex
	all map[broker.ID][]broker.ID // inboxes by task
}

// Follow adds an inbox, as [broker.Follower] says.
func (b *Broker) Follow(ctx context.Context, inbox broker.ID, ids []broker.ID) error {
	if _, err := b.enter(ctx); err != nil {
		return err
	}
	if b.inboxes.get(inbox) == nil {
		return nil
	}
	f := &b.followers
	f.mu.Lock()
	for _, id := range ids {
		if known := f.all[id]; !slices.Contains(known, inbox) {
			if f.all == nil {
				f.all = make(map[broker.ID][]broker.ID)
			}
			f.all[id] = append(known, inbox)
		}
	}
	f.n.Store(int64(len(f.all)))
	f.mu.Unlock()
	if b.inboxes.get(inbox) == nil { // it was closed meanwhile
		f.drop(inbox)
		return nil
	}
	// What was final before is taken by nobody any more, and would stay.
	found, err := b.Lookup(ctx, ids)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].State.Final() {
			f.leave(inbox, ids[i])
		}
	}
	return nil
}

// leave lets an inbox not follow a task any more.
func (f *followers) leave(inbox, id broker.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.without(id, inbox)
	f.n.Store(int64(len(f.all)))
}

// without takes an inbox from those that follow a task. f.mu is held.
func (f *followers) without(id, inbox broker.ID) {
	inboxes := slices.DeleteFunc(f.all[id], func(other broker.ID) bool { return other == inbox })
	if len(inboxes) == 0 {
		delete(f.all, id)
	} else {
		f.all[id] = inboxes
	}
}

// take returns who follows a task, which ends with that.
func (f *followers) take(id broker.ID) []broker.ID {
	if f.n.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	inboxes := f.all[id]
	delete(f.all, id)
	f.n.Store(int64(len(f.all)))
	return inboxes
}

// drop forgets an inbox.
func (f *followers) drop(inbox broker.ID) {
	if f.n.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.all {
		f.without(id, inbox)
	}
	f.n.Store(int64(len(f.all)))
}
