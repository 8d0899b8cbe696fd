package faulty

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Documents], which the wrapped broker must have.
const (
	ReadDocument    Op = "read document"
	WriteDocument   Op = "write document"
	RemoveDocument  Op = "remove document"
	DocumentChanges Op = "document changes"
)

var _ broker.Documents = (*Broker)(nil)

func (b *Broker) documents() broker.Documents { return b.Broker.(broker.Documents) }

// ReadDocument implements [broker.Documents].
func (b *Broker) ReadDocument(ctx context.Context, collection, name string) (d broker.Document, now time.Time, err error) {
	err = b.do(ctx, ReadDocument, 1, func(ctx context.Context) (err error) {
		d, now, err = b.documents().ReadDocument(ctx, collection, name)
		return err
	})
	if err != nil {
		return broker.Document{}, time.Time{}, err
	}
	return d, now, nil
}

// WriteDocument implements [broker.Documents].
func (b *Broker) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	return ask(ctx, b, WriteDocument, 1, func(ctx context.Context) (uint64, error) {
		return b.documents().WriteDocument(ctx, collection, d)
	})
}

// RemoveDocument implements [broker.Documents].
func (b *Broker) RemoveDocument(ctx context.Context, collection, name string, version uint64) error {
	return b.do(ctx, RemoveDocument, 1, func(ctx context.Context) error {
		return b.documents().RemoveDocument(ctx, collection, name, version)
	})
}

// DocumentChanges implements [broker.Documents].
func (b *Broker) DocumentChanges(ctx context.Context, collection string, after uint64, wait time.Duration) (broker.DocumentList, error) {
	return ask(ctx, b, DocumentChanges, 1, func(ctx context.Context) (broker.DocumentList, error) {
		return b.documents().DocumentChanges(ctx, collection, after, wait)
	})
}
