package redis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file keeps documents. All documents of a collection share a hash slot. The hash documents
// has their records. The sorted set versions has their names by version, so that a reader who
// knows a version gets the changes after it; a removed document stays there as a mark for an hour.
// The sorted set removed has the times of these marks.
//
// A record is text: its format (1), the version and the version that it has replaced, in decimal,
// a newline, and the data. With the second version a repeated write is recognized.

var _ broker.Documents = (*Broker)(nil)

// documentRecord matches the head of a record.
var documentRecord = regexp.MustCompile(`^1 ([0-9]{1,19}) [0-9]{1,19}\n`)

// parseDocument reads the record of a document into d, which has its name.
func parseDocument(d *broker.Document, record string) {
	m := documentRecord.FindStringSubmatch(record)
	if m == nil {
		d.Err = unreadableDocument(d.Name, record)
		return
	}
	d.Version, _ = strconv.ParseUint(m[1], 10, 64)
	d.Data = []byte(record[len(m[0]):])
}

// unreadableDocument is the error for a record that can't be read.
func unreadableDocument(name, record string) error {
	if len(record) > 1 && record[0] >= '2' && record[0] <= '9' && record[1] == ' ' {
		return fmt.Errorf("document %s: %w: it has version %c, written by a newer program", name, broker.ErrVersion, record[0])
	}
	return fmt.Errorf("document %s: %w: remove it, and write it again", name, broker.ErrMalformed)
}

// ReadDocument implements [broker.Documents].
func (b *Broker) ReadDocument(ctx context.Context, collection, name string) (broker.Document, time.Time, error) {
	type answer struct {
		d  broker.Document
		at time.Time
	}
	a, err := ask(ctx, func() (a answer, err error) {
		a.d.Name = name
		if err := b.checkDocument(ctx, collection, &a.d); err != nil {
			return answer{}, err
		}
		reply, err := scriptDocumentRead.run(ctx, b, []string{newDocumentKeys(b.cfg.namespace, collection).documents}, name)
		if err != nil {
			return answer{}, err
		}
		list := toList(reply)
		a.at = toTime(toInt(item(list, 0)))
		if len(list) > 1 {
			parseDocument(&a.d, toString(list[1]))
		}
		return a, nil
	})
	return a.d, a.at, err
}

// WriteDocument implements [broker.Documents].
func (b *Broker) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	return ask(ctx, func() (uint64, error) { return b.changeDocument(ctx, collection, &d, false) })
}

// RemoveDocument implements [broker.Documents].
func (b *Broker) RemoveDocument(ctx context.Context, collection, name string, version uint64) error {
	return do(ctx, func() error {
		_, err := b.changeDocument(ctx, collection, &broker.Document{Name: name, Version: version}, true)
		return err
	})
}

// changeDocument writes or removes a document.
func (b *Broker) changeDocument(ctx context.Context, collection string, d *broker.Document, remove bool) (uint64, error) {
	if err := b.checkDocument(ctx, collection, d); err != nil {
		return 0, err
	}
	expected, removes := strconv.FormatUint(d.Version, 10), 0
	if remove {
		removes = 1
		if d.Version == broker.AnyVersion {
			expected = "*"
		}
	}
	k := newDocumentKeys(b.cfg.namespace, collection)
	reply, err := scriptDocumentWrite.run(ctx, b, []string{k.documents, k.versions, k.removed}, k.changes, d.Name, expected, removes, d.Data)
	if err != nil {
		return 0, err
	}
	list := toList(reply)
	if len(list) < 2 {
		return 0, unreadableDocument(d.Name, toString(item(list, 0)))
	}
	version, _ := strconv.ParseUint(toString(list[0]), 10, 64)
	if toInt(list[1]) != 1 {
		return 0, &broker.ConflictError{Collection: collection, Name: d.Name, Expected: d.Version, Version: version}
	}
	return version, nil
}

// checkDocument begins a method for a document.
func (b *Broker) checkDocument(ctx context.Context, collection string, d *broker.Document) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	return broker.CheckDocument(collection, d)
}

// DocumentChanges implements [broker.Documents]. The scripts that change a document publish that on a
// channel. A message can be lost, so a waiting call also looks once a second.
func (b *Broker) DocumentChanges(ctx context.Context, collection string, after uint64, wait time.Duration) (broker.DocumentList, error) {
	return ask(ctx, func() (broker.DocumentList, error) {
		if err := b.checkDocument(ctx, collection, &broker.Document{Name: "any"}); err != nil {
			return broker.DocumentList{}, err
		}
		if wait <= 0 {
			return b.changesNow(ctx, collection, after)
		}
		return b.awaitChanges(ctx, collection, after, wait)
	})
}

// changesNow lists the changes of a collection.
func (b *Broker) changesNow(ctx context.Context, collection string, after uint64) (broker.DocumentList, error) {
	k := newDocumentKeys(b.cfg.namespace, collection)
	reply, err := scriptDocumentChanges.run(ctx, b, []string{k.documents, k.versions}, after, broker.MaxBatch, broker.MaxBatchBytes)
	if err != nil {
		return broker.DocumentList{}, err
	}
	list := toList(reply)
	if len(list) < 2 {
		return broker.DocumentList{}, fmt.Errorf("redis document_changes: %w: the script's reply has %d elements, want at least 2", broker.ErrUnavailable, len(list))
	}
	out := broker.DocumentList{Now: toTime(toInt(list[0])), More: toInt(list[1]) == 1, Next: after}
	for i := 2; i+2 < len(list); i += 3 {
		d := broker.Document{Name: toString(list[i])}
		version := uint64(toInt(list[i+1]))
		if record := toString(list[i+2]); record == "" {
			d.Removed = true
		} else {
			parseDocument(&d, record)
		}
		if d.Removed || d.Err != nil {
			d.Version = version
		}
		out.Next = max(out.Next, version)
		out.Documents = append(out.Documents, d)
	}
	return out, nil
}

// lookAgain is how often a call that waits for a change looks, if nothing is published.
const lookAgain = time.Second

// awaitChanges waits until there is a change.
func (b *Broker) awaitChanges(ctx context.Context, collection string, after uint64, wait time.Duration) (broker.DocumentList, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	heard, leave, err := b.documentWaits.enter(ctx, b, collection)
	if err != nil && !errors.Is(err, broker.ErrUnavailable) {
		return broker.DocumentList{}, err
	}
	defer leave()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		list, err := b.changesNow(ctx, collection, after)
		if err != nil || len(list.Documents) > 0 {
			return list, err
		}
		select {
		case <-heard:
		case <-look.C:
		case <-end.C:
			return list, nil
		case <-ctx.Done():
			return broker.DocumentList{}, ctx.Err()
		case <-b.ctx.Done():
			return broker.DocumentList{}, b.errClosed()
		}
	}
}

// documentWaits are the calls that wait for changes. The first one of a collection subscribes to
// its channel. The subscription stays until Close, since the next call comes soon.
type documentWaits struct {
	mu   sync.Mutex
	subs map[string]*documentSub // by collection
}

// documentSub is the subscription of a collection.
type documentSub struct {
	ready chan struct{} // closed when the subscription is there, or has failed
	err   error

	mu    sync.Mutex
	calls map[chan struct{}]struct{} // each has a buffer of one
}

// enter adds a call. heard gets a value after each message; leave must be called. With an error
// nothing is heard.
func (w *documentWaits) enter(ctx context.Context, b *Broker, collection string) (heard chan struct{}, leave func(), err error) {
	w.mu.Lock()
	s := w.subs[collection]
	if s == nil {
		s = &documentSub{ready: make(chan struct{}), calls: make(map[chan struct{}]struct{})}
		if w.subs == nil {
			w.subs = make(map[string]*documentSub)
		}
		w.subs[collection] = s
		w.mu.Unlock()
		// Without the context of the call, since other calls may wait for it, too. Close ends it.
		_, s.err = b.hub.subscribe(context.Background(), "subscribe to documents", []string{newDocumentKeys(b.cfg.namespace, collection).changes},
			func(_, _ string) { s.tell() }, s.tell)
		if s.err != nil {
			w.mu.Lock()
			delete(w.subs, collection)
			w.mu.Unlock()
		}
		close(s.ready)
	} else {
		w.mu.Unlock()
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, func() {}, ctx.Err()
	}
	if s.err != nil {
		return nil, func() {}, s.err
	}
	heard = make(chan struct{}, 1)
	s.mu.Lock()
	s.calls[heard] = struct{}{}
	s.mu.Unlock()
	return heard, func() {
		s.mu.Lock()
		delete(s.calls, heard)
		s.mu.Unlock()
	}, nil
}

// tell wakes all calls.
func (s *documentSub) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for heard := range s.calls {
		select {
		case heard <- struct{}{}:
		default:
		}
	}
}
