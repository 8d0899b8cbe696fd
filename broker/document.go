package broker

import (
	"context"
	"fmt"
	"time"
)

// Document is a small record with a name and a version, in a collection. A client replaces it
// only if nobody else has replaced it since the client has read it; see [Documents].
type Document struct {
	Name    string
	Version uint64 // grows with each change, and is never used again in the collection; 0 if there is no such document
	Data    []byte // at most MaxDocument bytes; may be empty

	// Removed says that the document has been removed, in the version Version. Only
	// DocumentChanges returns such a document.
	Removed bool
	// Err is set if the stored record can't be read. It wraps ErrMalformed, or ErrVersion if a
	// newer program has written it. Name and, as far as it is known, Version are set.
	Err error
}

// Sizes and times of [Documents].
const (
	MaxDocument = 256 << 10 // bytes of the data of a document
	RemovedFor  = time.Hour // how long DocumentChanges reports that a document was removed

	// AnyVersion lets RemoveDocument remove a document whatever its version is.
	AnyVersion uint64 = 1<<64 - 1
)

// DocumentList is what [Documents] DocumentChanges returns.
type DocumentList struct {
	Documents []Document // sorted by Version
	Next      uint64     // where the next call goes on: the greatest Version so far
	More      bool       // there are further changes already
	Now       time.Time  // the broker's clock at the time of the answer
}

// Documents is an optional capability: small records that several processes change together,
// by compare and swap. [DocumentsOf] returns the Documents of a Broker.
//
// A document stays until it is removed. Collections need not be made; collections and documents
// have names like queues. Documents of one collection are changed one after the other, and the
// versions grow in that order. Nothing is promised about the order between collections.
type Documents interface {
	// ReadDocument returns a document, with Version 0 if there is none, and the time of the
	// broker's clock. A record that can't be read is not an error of the call: see
	// Document.Err.
	ReadDocument(ctx context.Context, collection, name string) (Document, time.Time, error)

	// WriteDocument stores d.Data if the document has the version d.Version: 0 if there must be
	// none. It returns the new version. Otherwise nothing is changed, and the error is a
	// *ConflictError.
	//
	// A repeated call is harmless: as long as nobody has changed the document since, the same
	// Version and Data again return the version of the first call. So two clients that write
	// equal data over the same version succeed both.
	//
	// It is ErrInvalid if a name is not valid, ErrTooLarge if the data is over MaxDocument, and
	// ErrMalformed or ErrVersion if the record that is there can't be read.
	WriteDocument(ctx context.Context, collection string, d Document) (version uint64, err error)

	// RemoveDocument removes a document that has the version, or any version with
	// AnyVersion, also one whose record can't be read. If there is no such document, it
	// returns nil and changes nothing. Otherwise the errors are those of WriteDocument.
	RemoveDocument(ctx context.Context, collection, name string, version uint64) error

	// DocumentChanges returns the documents of a collection whose Version is greater than
	// after, in the order of their versions, so 0 lists the collection. Of each document it
	// returns the present version only. If there is none, it waits for up to wait, and then
	// returns an empty list; with a wait of 0 or less it does not wait. It may return early
	// with an empty list, and returns up to MaxBatch documents and about MaxBatchBytes.
	//
	// A document that was removed is in the list, with Removed set, for RemovedFor at least. A caller
	// that has not asked for longer than that begins again with 0: a document that it knows,
	// and that is not in the list, was removed.
	DocumentChanges(ctx context.Context, collection string, after uint64, wait time.Duration) (DocumentList, error)
}

// DocumentsOf returns the broker as a [Documents]. If it has none the error is an
// [*UnsupportedError] with that What, such as "a schedule".
func DocumentsOf(b Broker, what string) (Documents, error) {
	return capability[Documents](b, what, "Documents")
}

// ConflictError is the error of a change of a document that has another version than was
// expected. It wraps [ErrConflict].
type ConflictError struct {
	Collection, Name string
	Expected         uint64
	Version          uint64 // the present version; 0 if there is no document
}

// Error names the document and the versions.
func (e *ConflictError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("document %s/%s: %v: it does not exist, version %d was expected; read it again", e.Collection, e.Name, ErrConflict, e.Expected)
	}
	return fmt.Sprintf("document %s/%s: %v: it has version %d, version %d was expected; read it again", e.Collection, e.Name, ErrConflict, e.Version, e.Expected)
}

// Unwrap returns [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

// CheckDocument reports whether the names and the data of a document are valid. The error
// wraps [ErrInvalid] or [ErrTooLarge].
func CheckDocument(collection string, d *Document) error {
	if err := CheckName("collection", collection); err != nil {
		return err
	}
	if err := CheckName("document", d.Name); err != nil {
		return err
	}
	if len(d.Data) > MaxDocument {
		return fmt.Errorf("document %s/%s: %w: data of %d bytes, the limit is %d", collection, d.Name, ErrTooLarge, len(d.Data), MaxDocument)
	}
	return nil
}
