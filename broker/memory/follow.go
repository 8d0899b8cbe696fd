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
	}
	return nil
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
	for id, inboxes := range f.all {
		if inboxes = slices.DeleteFunc(inboxes, func(other broker.ID) bool { return other == inbox }); len(inboxes) == 0 {
			delete(f.all, id)
		} else {
			f.all[id] = inboxes
		}
	}
	f.n.Store(int64(len(f.all)))
}
