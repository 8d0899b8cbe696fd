package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Documents = (*Broker)(nil)

// documents are the documents of all collections. A removed document stays as a mark for
// [broker.RemovedFor] at least, until later changes of its collection remove the mark.
type documents struct {
	mu          sync.Mutex
	last        uint64 // the version that was given last
	collections map[string]*collection
}

// collection is the documents of one name, and its changes in their order.
type collection struct {
	byName  map[string]*document
	order   []*document   // sorted by version; an entry that byName does not have any more is out of date
	changed chan struct{} // closed by the next change; nil while nobody waits
}

type document struct {
	broker.Document
	over    uint64 // the version that it has replaced
	removed instant
}

// collection returns a collection. It has no documents if there is none yet.
func (x *documents) collection(name string) *collection {
	c := x.collections[name]
	if c == nil {
		if x.collections == nil {
			x.collections = make(map[string]*collection)
		}
		c = &collection{byName: make(map[string]*document)}
		x.collections[name] = c
	}
	return c
}

// put stores d, or the mark of its removal, as the newest change of its collection.
func (x *documents) put(c *collection, d *document, now instant) uint64 {
	x.last++
	d.Version = x.last
	c.byName[d.Name] = d
	c.order = append(c.order, d)
	if len(c.order) > 2*len(c.byName)+32 { // so that a change takes constant time on average
		c.order = slices.DeleteFunc(c.order, func(o *document) bool {
			old := c.byName[o.Name] != o
			if !old && o.Removed && o.removed.plus(broker.RemovedFor) <= now {
				delete(c.byName, o.Name)
				return true
			}
			return old
		})
	}
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	return d.Version
}

// ReadDocument returns a document; see [broker.Documents].
func (b *Broker) ReadDocument(ctx context.Context, collection, name string) (broker.Document, time.Time, error) {
	now, err := b.enterDocuments(ctx, collection, &broker.Document{Name: name})
	if err != nil {
		return broker.Document{}, time.Time{}, err
	}
	x := &b.documents
	x.mu.Lock()
	defer x.mu.Unlock()
	out := broker.Document{Name: name}
	if c := x.collections[collection]; c != nil {
		if d := c.byName[name]; d != nil && !d.Removed {
			out = d.copy()
		}
	}
	return out, b.clock.wall(now), nil
}

// WriteDocument stores a document; see [broker.Documents].
func (b *Broker) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	now, err := b.enterDocuments(ctx, collection, &d)
	if err != nil {
		return 0, err
	}
	x := &b.documents
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.collection(collection)
	version, old := uint64(0), c.byName[d.Name]
	if old != nil && !old.Removed {
		version = old.Version
		if version != d.Version && old.over == d.Version && string(old.Data) == string(d.Data) {
			return version, nil // a repeated call
		}
	}
	if version != d.Version {
		return 0, &broker.ConflictError{Collection: collection, Name: d.Name, Expected: d.Version, Version: version}
	}
	return x.put(c, &document{Document: broker.Document{Name: d.Name, Data: copyBytes(d.Data)}, over: version}, now), nil
}

// RemoveDocument removes a document; see [broker.Documents].
func (b *Broker) RemoveDocument(ctx context.Context, collection, name string, version uint64) error {
	now, err := b.enterDocuments(ctx, collection, &broker.Document{Name: name})
	if err != nil {
		return err
	}
	x := &b.documents
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.collections[collection]
	if c == nil || c.byName[name] == nil || c.byName[name].Removed {
		return nil
	}
	if old := c.byName[name].Version; version != old && version != broker.AnyVersion {
		return &broker.ConflictError{Collection: collection, Name: name, Expected: version, Version: old}
	}
	x.put(c, &document{Document: broker.Document{Name: name, Removed: true}, removed: now}, now)
	return nil
}

// DocumentChanges lists a collection from a version on; see [broker.Documents].
func (b *Broker) DocumentChanges(ctx context.Context, name string, after uint64, wait time.Duration) (broker.DocumentList, error) {
	_, err := b.enterDocuments(ctx, name, &broker.Document{Name: "any"})
	if err != nil {
		return broker.DocumentList{}, err
	}
	var timeout <-chan time.Time
	for {
		list, changed := b.changesAfter(name, after, wait > 0)
		if len(list.Documents) > 0 || wait <= 0 {
			return list, nil
		}
		if timeout == nil {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			wait = 0
		case <-ctx.Done():
			return broker.DocumentList{}, ctx.Err()
		case <-b.done:
			return broker.DocumentList{}, errClosed
		}
	}
}

// changesAfter returns the changes of a collection after a version. If there are none, changed
// is closed by the next one; waits says that the caller needs it.
func (b *Broker) changesAfter(name string, after uint64, waits bool) (list broker.DocumentList, changed <-chan struct{}) {
	x := &b.documents
	x.mu.Lock()
	defer x.mu.Unlock()
	list = broker.DocumentList{Next: after, Now: b.clock.wall(b.clock.now())}
	c := x.collections[name]
	if c == nil && !waits {
		return list, nil
	}
	c = x.collection(name)
	from, _ := slices.BinarySearchFunc(c.order, after+1, func(d *document, v uint64) int { return cmp.Compare(d.Version, v) })
	size := 0
	for _, d := range c.order[from:] {
		if c.byName[d.Name] != d {
			continue
		}
		if size += len(d.Data); len(list.Documents) == broker.MaxBatch || len(list.Documents) > 0 && size > broker.MaxBatchBytes {
			list.More = true
			break
		}
		list.Documents = append(list.Documents, d.copy())
		list.Next = d.Version
	}
	if c.changed == nil && waits {
		c.changed = make(chan struct{})
	}
	return list, c.changed
}

// copy returns a copy for a caller.
func (d *document) copy() broker.Document {
	out := d.Document
	out.Data = copyBytes(d.Data)
	return out
}

// enterDocuments begins a method for a document.
func (b *Broker) enterDocuments(ctx context.Context, collection string, d *broker.Document) (instant, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	if err := broker.CheckDocument(collection, d); err != nil {
		return 0, err
	}
	return now, nil
}
