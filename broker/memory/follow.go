package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
)

// followers lists, for each followed task or flow, the inboxes that get its outcome besides
// the one that it was stored with.
type followers struct {
	n   atomic.Int64 // number of followed ids, mostly 0; lets take return without the lock
	mu  sync.Mutex
	all map[broker.ID][]broker.ID // inboxes by followed id
}

// Follow adds an inbox; see [broker.Follower].
func (b *Broker) Follow(ctx context.Context, inbox broker.ID, ids []broker.ID) error {
	if _, err := b.enter(ctx); err != nil {
		return err
	}
	if len(b.inboxes.get(inbox)) == 0 {
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
	if len(b.inboxes.get(inbox)) == 0 { // it was closed in the meantime
		f.drop(inbox)
		return nil
	}
	// An id that was final before has no end any more that would remove it from the list.
	found, err := b.Lookup(ctx, ids)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].State.Final() {
			f.unfollow(inbox, ids[i])
		}
	}
	return nil
}

// unfollow removes an inbox from the followers of an id.
func (f *followers) unfollow(inbox, id broker.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(id, inbox)
	f.n.Store(int64(len(f.all)))
}

// remove removes an inbox from the followers of an id. f.mu is held.
func (f *followers) remove(id, inbox broker.ID) {
	inboxes := slices.DeleteFunc(f.all[id], func(other broker.ID) bool { return other == inbox })
	if len(inboxes) == 0 {
		delete(f.all, id)
	} else {
		f.all[id] = inboxes
	}
}

// take removes and returns the followers of an id that has ended.
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

// drop removes an inbox from the followers of all ids.
func (f *followers) drop(inbox broker.ID) {
	if f.n.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.all {
		f.remove(id, inbox)
	}
	f.n.Store(int64(len(f.all)))
}
