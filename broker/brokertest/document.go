package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Documents: records that are replaced by compare and swap, and the list of their changes.
func documentTests() []test {
	tests := []test{
		{"Missing", documentMissing, 0},
		{"WriteAndRead", documentWrite, 0},
		{"OfAnotherVersion", documentConflict, 0},
		{"WriteAgain", documentAgain, 0},
		{"Remove", documentRemove, 0},
		{"RemoveAgain", documentRemoveAgain, 0},
		{"VersionsGrow", documentVersions, 0},
		{"Bytes", documentBytes, 0},
		{"BelongToTheCaller", documentBelong, 0},
		{"Limits", documentLimits, 0},
		{"OtherClients", documentOthers, 0},
		{"Collections", documentCollections, 0},
		{"Changes", documentChanges, 0},
		{"ChangesInPages", documentPages, 0},
		{"ChangesOfLargeOnes", documentLarge, 0},
		{"RemovedIsListed", documentMark, 0},
		{"RemovedIsListedForAnHour", documentMarkLasts, needJump},
		{"WaitForAChange", documentWait, 0},
		{"WaitInVain", documentWaitInVain, 0},
		{"WaitEnds", documentWaitEnds, 0},
		{"AfterClose", documentClosed, 0},
		{"ContextHasEnded", documentContext, 0},
		{"Counters", func(r *rig) { documentCounters(r, false) }, 0},
		{"CountersWithFaults", func(r *rig) { documentCounters(r, true) }, 0},
	}
	for i := range tests {
		tests[i].needs |= needDocuments
	}
	return tests
}

func (r *rig) documents() broker.Documents { return r.documentsAt(r.Broker) }

func (r *rig) documentsAt(b broker.Broker) broker.Documents {
	return &watchedDocuments{raw(b).(broker.Documents), r.dog}
}

type watchedDocuments struct {
	b   broker.Documents
	dog *watchdog
}

func (x *watchedDocuments) ReadDocument(ctx context.Context, collection, name string) (d broker.Document, now time.Time, err error) {
	err = x.dog.do("ReadDocument", func() (err error) {
		d, now, err = x.b.ReadDocument(ctx, collection, name)
		return err
	})
	return d, now, err
}

func (x *watchedDocuments) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	return ask(x.dog, "WriteDocument", func() (uint64, error) { return x.b.WriteDocument(ctx, collection, d) })
}

func (x *watchedDocuments) RemoveDocument(ctx context.Context, collection, name string, version uint64) error {
	return x.dog.do("RemoveDocument", func() error { return x.b.RemoveDocument(ctx, collection, name, version) })
}

func (x *watchedDocuments) DocumentChanges(ctx context.Context, collection string, after uint64, wait time.Duration) (broker.DocumentList, error) {
	defer x.dog.begin(&call{what: "DocumentChanges", may: max(wait, 0)})()
	return x.b.DocumentChanges(ctx, collection, after, wait)
}

// written writes a document of the collection "c", which must succeed, and returns it with its new
// version.
func (r *rig) written(name, data string, version uint64) broker.Document {
	r.Helper()
	return r.writtenAt(r.Broker, name, data, version)
}

func (r *rig) writtenAt(b broker.Broker, name, data string, version uint64) broker.Document {
	r.Helper()
	d := broker.Document{Name: name, Version: version, Data: []byte(data)}
	v, err := r.documentsAt(b).WriteDocument(r.ctx, "c", d)
	if err != nil {
		r.Fatalf("WriteDocument of %s over version %d: %v", name, version, err)
	}
	if v <= version || v >= 1<<63 {
		r.Fatalf("WriteDocument of %s over version %d returned version %d, want a greater one below 1<<63", name, version, v)
	}
	d.Version = v
	return d
}

// conflicts writes a document of the collection "c", which must be refused since it has another version.
func (r *rig) conflicts(name, data string, version, present uint64) {
	r.Helper()
	_, err := r.documents().WriteDocument(r.ctx, "c", broker.Document{Name: name, Version: version, Data: []byte(data)})
	r.isConflict(err, name, version, present)
}

func (r *rig) isConflict(err error, name string, expected, present uint64) {
	r.Helper()
	var conflict *broker.ConflictError
	if !errors.As(err, &conflict) || !errors.Is(err, broker.ErrConflict) {
		r.Fatalf("the error is %v, want a *ConflictError", err)
	}
	if want := (broker.ConflictError{Collection: "c", Name: name, Expected: expected, Version: present}); *conflict != want {
		r.Fatalf("the conflict is %+v, want %+v", *conflict, want)
	}
	r.names(err, name)
}

// holds checks a document of the collection "c". A version of 0 means that there is none.
func (r *rig) holds(name, data string, version uint64) {
	r.Helper()
	before := r.Now()
	d, now, err := r.documents().ReadDocument(r.ctx, "c", name)
	if err != nil {
		r.Fatalf("ReadDocument of %s: %v", name, err)
	}
	if d.Name != name || d.Version != version || string(d.Data) != data || d.Removed || d.Err != nil {
		r.Fatalf("ReadDocument of %s returned %+v, want %q in version %d", name, d, data, version)
	}
	if early, late := before.Add(-time.Second), r.Now().Add(time.Second); now.Before(early) || now.After(late) {
		r.Fatalf("ReadDocument returned the time %v, want one between %v and %v", now, early, late)
	}
}

// changes returns the changes of the collection "c" after a version, and does not wait.
func (r *rig) changes(after uint64) broker.DocumentList {
	r.Helper()
	list, err := r.documents().DocumentChanges(r.ctx, "c", after, 0)
	if err != nil {
		r.Fatalf("DocumentChanges: %v", err)
	}
	return list
}

// changed checks the changes of the collection "c" after a version. Of a removed document only the
// name is compared, since the caller does not know its version.
func (r *rig) changed(after uint64, want ...broker.Document) (next uint64) {
	r.Helper()
	list := r.changes(after)
	if list.More || len(list.Documents) != len(want) {
		r.Fatalf("DocumentChanges after %d returned %d documents and More %v, want %d and false", after, len(list.Documents), list.More, len(want))
	}
	next = after
	for i, d := range list.Documents {
		w := want[i]
		if w.Removed {
			w.Version = d.Version
		}
		if d.Name != w.Name || d.Version != w.Version || string(d.Data) != string(w.Data) || d.Removed != w.Removed || d.Err != nil {
			r.Fatalf("change %d after %d is %+v, want %+v", i, after, d, w)
		}
		if d.Version <= next {
			r.Fatalf("change %d has version %d, want one greater than %d", i, d.Version, next)
		}
		next = d.Version
	}
	if list.Next != next {
		r.Fatalf("Next is %d, want %d", list.Next, next)
	}
	return next
}

func documentMissing(r *rig) {
	r.holds("d", "", 0)
	r.changed(0)
	r.conflicts("d", "x", 7, 0)
	r.holds("d", "", 0)
	r.changed(0)
}

func documentWrite(r *rig) {
	d := r.written("d", "one", 0)
	r.holds("d", "one", d.Version)
	d = r.written("d", "two", d.Version)
	r.holds("d", "two", d.Version)
	d = r.written("d", "two", d.Version) // equal data in a new version
	r.holds("d", "two", d.Version)
	r.holds("other", "", 0)
}

func documentConflict(r *rig) {
	first := r.written("d", "one", 0)
	r.conflicts("d", "x", 0, first.Version)
	r.conflicts("d", "x", first.Version+1, first.Version)
	second := r.written("d", "two", first.Version)
	r.conflicts("d", "x", first.Version, second.Version)
	r.conflicts("d", "x", 0, second.Version)
	r.conflicts("d", "one", 0, second.Version) // a repeated call that came too late
	r.holds("d", "two", second.Version)
}

func documentAgain(r *rig) {
	docs := r.documents()
	write := func(d broker.Document) uint64 {
		v, err := docs.WriteDocument(r.ctx, "c", d)
		if err != nil {
			r.Fatalf("WriteDocument: %v", err)
		}
		return v
	}
	for _, data := range []string{"x", ""} {
		d := broker.Document{Name: "d" + data, Data: []byte(data)}
		first := write(d)
		if again := write(d); again != first {
			r.Fatalf("a repeated write returned version %d, want %d as before", again, first)
		}
		d.Version, d.Data = first, []byte("y")
		second := write(d)
		if again := write(d); again != second {
			r.Fatalf("a repeated write returned version %d, want %d as before", again, second)
		}
		r.holds(d.Name, "y", second)
		r.conflicts(d.Name, "z", first, second)
	}
}

func documentRemove(r *rig) {
	docs := r.documents()
	d := r.written("d", "one", 0)
	r.isConflict(docs.RemoveDocument(r.ctx, "c", "d", d.Version+1), "d", d.Version+1, d.Version)
	r.isConflict(docs.RemoveDocument(r.ctx, "c", "d", 0), "d", 0, d.Version)
	r.holds("d", "one", d.Version)
	if err := docs.RemoveDocument(r.ctx, "c", "d", d.Version); err != nil {
		r.Fatalf("RemoveDocument: %v", err)
	}
	r.holds("d", "", 0)
	r.conflicts("d", "x", d.Version, 0)
	other := r.written("d", "two", 0)
	if other.Version <= d.Version {
		r.Fatalf("a new document of the same name has version %d, want one greater than %d", other.Version, d.Version)
	}
	if err := docs.RemoveDocument(r.ctx, "c", "d", broker.AnyVersion); err != nil {
		r.Fatalf("RemoveDocument of any version: %v", err)
	}
	r.holds("d", "", 0)
}

func documentRemoveAgain(r *rig) {
	docs := r.documents()
	d := r.written("d", "one", 0)
	for range 2 {
		if err := docs.RemoveDocument(r.ctx, "c", "d", d.Version); err != nil {
			r.Fatalf("RemoveDocument: %v", err)
		}
	}
	list := r.changes(0)
	for _, version := range []uint64{0, 7, broker.AnyVersion} {
		for _, name := range []string{"d", "never"} {
			if err := docs.RemoveDocument(r.ctx, "c", name, version); err != nil {
				r.Fatalf("RemoveDocument of a document that does not exist: %v", err)
			}
		}
	}
	if again := r.changes(0); len(again.Documents) != 1 || again.Next != list.Next {
		r.Fatalf("removing what does not exist has changed the list %+v to %+v", list, again)
	}
}

func documentVersions(r *rig) {
	docs := r.documents()
	last := uint64(0)
	for i := range 20 {
		name := "d" + itoa(i%3)
		d, _, err := docs.ReadDocument(r.ctx, "c", name)
		if err != nil {
			r.Fatalf("ReadDocument: %v", err)
		}
		d = r.written(name, "x", d.Version)
		if d.Version <= last {
			r.Fatalf("a change has version %d after one with %d", d.Version, last)
		}
		last = d.Version
		if i%4 == 0 {
			if err := docs.RemoveDocument(r.ctx, "c", name, d.Version); err != nil {
				r.Fatalf("RemoveDocument: %v", err)
			}
			if next := r.changes(0).Next; next <= last {
				r.Fatalf("a removal has version %d after a change with %d", next, last)
			} else {
				last = next
			}
		}
	}
}

func documentBytes(r *rig) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, data := range []string{"", string(all), "1 2 3\n4", "\n", "\r\n\x00"} {
		d := r.written("d"+itoa(i), data, 0)
		r.holds(d.Name, data, d.Version)
		r.changed(d.Version-1, d)
	}
}

func documentBelong(r *rig) {
	docs := r.documents()
	data := []byte("data")
	v, err := docs.WriteDocument(r.ctx, "c", broker.Document{Name: "d", Data: data})
	if err != nil {
		r.Fatalf("WriteDocument: %v", err)
	}
	copy(data, "XXXX")
	for range 2 {
		r.holds("d", "data", v)
		d, _, _ := docs.ReadDocument(r.ctx, "c", "d")
		copy(d.Data, "XXXX")
		copy(r.changes(0).Documents[0].Data, "XXXX")
	}
}

func documentLimits(r *rig) {
	docs := r.documents()
	r.written(strings.Repeat("d", broker.MaxName), strings.Repeat("x", broker.MaxDocument), 0)
	_, err := docs.WriteDocument(r.ctx, "c", broker.Document{Name: "large", Data: make([]byte, broker.MaxDocument+1)})
	r.is(err, broker.ErrTooLarge)
	r.names(err, "large")
	r.holds("large", "", 0)
	for _, name := range badNames {
		_, err := docs.WriteDocument(r.ctx, "c", broker.Document{Name: name})
		r.is(err, broker.ErrInvalid)
		_, err = docs.WriteDocument(r.ctx, name, broker.Document{Name: "d"})
		r.is(err, broker.ErrInvalid)
		_, _, err = docs.ReadDocument(r.ctx, "c", name)
		r.is(err, broker.ErrInvalid)
		_, _, err = docs.ReadDocument(r.ctx, name, "d")
		r.is(err, broker.ErrInvalid)
		r.is(docs.RemoveDocument(r.ctx, "c", name, 1), broker.ErrInvalid)
		r.is(docs.RemoveDocument(r.ctx, name, "d", 1), broker.ErrInvalid)
		_, err = docs.DocumentChanges(r.ctx, name, 0, 0)
		r.is(err, broker.ErrInvalid)
	}
}

func documentOthers(r *rig) {
	other := r.other()
	d := r.written("d", "one", 0)
	d = r.writtenAt(other, "d", "two", d.Version)
	r.holds("d", "two", d.Version)
	if err := r.documentsAt(other).RemoveDocument(r.ctx, "c", "d", d.Version); err != nil {
		r.Fatalf("RemoveDocument: %v", err)
	}
	r.holds("d", "", 0)
}

func documentCollections(r *rig) {
	docs := r.documents()
	d := r.written("d", "one", 0)
	for _, name := range []string{"other", "c2", "0", "documents"} {
		if _, err := docs.WriteDocument(r.ctx, name, broker.Document{Name: "d", Data: []byte(name)}); err != nil {
			r.Fatalf("WriteDocument: %v", err)
		}
		got, _, err := docs.ReadDocument(r.ctx, name, "d")
		if err != nil || string(got.Data) != name {
			r.Fatalf("ReadDocument of collection %s returned %+v, %v", name, got, err)
		}
		if err := docs.RemoveDocument(r.ctx, name, "d", broker.AnyVersion); err != nil {
			r.Fatalf("RemoveDocument: %v", err)
		}
	}
	r.holds("d", "one", d.Version)
	r.changed(0, d)
}

func documentChanges(r *rig) {
	a := r.written("a", "1", 0)
	b := r.written("b", "2", 0)
	next := r.changed(0, a, b)
	r.changed(next)
	r.changed(a.Version, b)
	a = r.written("a", "3", a.Version)
	r.changed(0, b, a)
	r.changed(next, a)
	r.conflicts("a", "x", 0, a.Version) // changes nothing
	r.changed(a.Version)
	r.changed(a.Version + 1000)
}

func documentPages(r *rig) {
	const n = broker.MaxBatch + 5
	docs := r.documents()
	var want []string
	together(many(4, func(i int) {
		for k := i; k < n; k += 4 {
			if _, err := docs.WriteDocument(r.ctx, "c", broker.Document{Name: fmt.Sprintf("d%04d", k)}); err != nil {
				r.Errorf("WriteDocument: %v", err)
			}
		}
	})...)
	for k := range n {
		want = append(want, fmt.Sprintf("d%04d", k))
	}
	r.pages(want)
}

// pages checks that the pages of all changes have these documents.
func (r *rig) pages(want []string) {
	r.Helper()
	var got []string
	for after := uint64(0); ; {
		list := r.changes(after)
		size := 0
		for _, d := range list.Documents {
			got = append(got, d.Name)
			size += len(d.Data)
		}
		if len(list.Documents) > broker.MaxBatch || size > broker.MaxBatchBytes+broker.MaxDocument {
			r.Fatalf("a page has %d documents and %d bytes", len(list.Documents), size)
		}
		if !list.More {
			break
		}
		if len(list.Documents) == 0 || list.Next <= after {
			r.Fatalf("a page of changes after %d has %d documents, More is set, and Next is %d", after, len(list.Documents), list.Next)
		}
		after = list.Next
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.Fatalf("the pages have %d documents, want %d: %q", len(got), len(want), got)
	}
}

func documentLarge(r *rig) {
	var want []string
	for i := range broker.MaxBatchBytes/broker.MaxDocument + 3 {
		name := fmt.Sprintf("d%04d", i)
		r.written(name, strings.Repeat("x", broker.MaxDocument), 0)
		want = append(want, name)
	}
	r.pages(want)
}

func documentMark(r *rig) {
	docs := r.documents()
	a, b := r.written("a", "1", 0), r.written("b", "2", 0)
	if err := docs.RemoveDocument(r.ctx, "c", "a", a.Version); err != nil {
		r.Fatalf("RemoveDocument: %v", err)
	}
	mark := broker.Document{Name: "a", Removed: true}
	next := r.changed(0, b, mark)
	r.changed(b.Version, mark)
	r.changed(next)
	a = r.written("a", "3", 0)
	r.changed(0, b, a) // the mark is gone
	r.changed(next, a)
}

func documentMarkLasts(r *rig) {
	docs := r.documents()
	b := r.written("b", "2", 0)
	r.written("a", "1", 0)
	if err := docs.RemoveDocument(r.ctx, "c", "a", broker.AnyVersion); err != nil {
		r.Fatalf("RemoveDocument: %v", err)
	}
	r.Advance(broker.RemovedFor - time.Minute)
	for range 100 {
		b = r.written("b", "3", b.Version)
	}
	r.changed(0, broker.Document{Name: "a", Removed: true}, b)
	r.Advance(30 * broker.RemovedFor)
	r.holds("b", "3", b.Version) // a document stays
}

func documentWait(r *rig) {
	docs, other := r.documents(), r.other()
	next := r.written("d", "0", 0).Version
	for i := range 4 {
		data := itoa(i + 1)
		var list broker.DocumentList
		var err error
		var wrote, came time.Time
		together(func() {
			for len(list.Documents) == 0 && err == nil {
				list, err = docs.DocumentChanges(r.ctx, "c", next, patience)
			}
			came = time.Now()
		}, func() {
			r.idle()
			wrote = time.Now()
			at := r.documentsAt([]broker.Broker{r.Broker, other}[i%2])
			var werr error
			if i == 3 {
				werr = at.RemoveDocument(r.ctx, "c", "d", next)
			} else {
				_, werr = at.WriteDocument(r.ctx, "c", broker.Document{Name: "d", Version: next, Data: []byte(data)})
			}
			if werr != nil {
				r.Errorf("WriteDocument: %v", werr)
			}
		})
		if err != nil || len(list.Documents) != 1 || i < 3 && string(list.Documents[0].Data) != data || list.Documents[0].Removed != (i == 3) {
			r.Fatalf("DocumentChanges returned %+v, %v, want the change %s", list, err, data)
		}
		if late := came.Sub(wrote); late > r.late(time.Second) {
			r.Fatalf("DocumentChanges returned %v after the change, want within a second", late)
		}
		next = list.Next
	}
}

func documentWaitInVain(r *rig) {
	docs := r.documents()
	d := r.written("d", "0", 0)
	start := time.Now()
	list, err := docs.DocumentChanges(r.ctx, "c", d.Version, 50*time.Millisecond)
	if err != nil || len(list.Documents) > 0 || list.Next != d.Version || list.More {
		r.Fatalf("DocumentChanges returned %+v, %v, want none", list, err)
	}
	if took := time.Since(start); took > r.late(time.Second) {
		r.Fatalf("DocumentChanges waited for %v, want 50 ms", took)
	}
	if early, late := r.Now().Add(-r.late(time.Second)), r.Now().Add(time.Second); list.Now.Before(early) || list.Now.After(late) {
		r.Fatalf("DocumentChanges returned the time %v, want about %v", list.Now, r.Now())
	}
}

func documentWaitEnds(r *rig) {
	docs := r.documents()
	ctx, cancel := context.WithCancel(r.ctx)
	ended, closed := make(chan error, 1), make(chan error, 1)
	waits := func(ctx context.Context, done chan error) {
		for {
			if _, err := docs.DocumentChanges(ctx, "c", 0, patience); err != nil {
				done <- err
				return
			}
		}
	}
	go waits(ctx, ended)
	go waits(r.ctx, closed)
	r.idle()
	start := time.Now()
	cancel()
	r.is(<-ended, context.Canceled)
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("DocumentChanges returned %v after its context ended", late)
	}
	start = time.Now()
	if err := r.Broker.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	if err := <-closed; !saysClosed(err) {
		r.Fatalf("DocumentChanges returned %v when the broker closed", err)
	}
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("DocumentChanges returned %v after Close", late)
	}
}

// documentCalls are a call of each method.
func documentCalls(ctx context.Context, r *rig) map[string]func() error {
	docs := r.documents()
	return map[string]func() error{
		"ReadDocument":  func() error { _, _, err := docs.ReadDocument(ctx, "c", "d"); return err },
		"WriteDocument": func() error { _, err := docs.WriteDocument(ctx, "c", broker.Document{Name: "d"}); return err },
		"RemoveDocument": func() error {
			return docs.RemoveDocument(ctx, "c", "d", broker.AnyVersion)
		},
		"DocumentChanges": func() error { _, err := docs.DocumentChanges(ctx, "c", 0, 0); return err },
		"DocumentChanges with a wait": func() error {
			_, err := docs.DocumentChanges(ctx, "c", 0, patience)
			return err
		},
	}
}

func documentClosed(r *rig) {
	calls := documentCalls(r.ctx, r)
	if err := r.Broker.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	for name, call := range calls {
		if err := call(); !saysClosed(err) {
			r.Errorf("%s after Close returned %v; want an error that wraps ErrClosed and names the closed thing", name, err)
		}
	}
}

func documentContext(r *rig) {
	for name, call := range documentCalls(expired(r), r) {
		if err := call(); err != nil && !errors.Is(err, context.Canceled) {
			r.Errorf("%s with a context that has ended returned %v", name, err)
		}
	}
	d, _, err := r.documents().ReadDocument(r.ctx, "c", "d")
	if err != nil {
		r.Fatalf("ReadDocument: %v", err)
	}
	r.written("d", "x", d.Version)
}

// documentCounters lets several clients count in two documents, which have a number for each client. A
// client adds to its own number until it reads the new one there. If a write were lost or done twice, a
// number would be wrong in the end.
func documentCounters(r *rig, faults bool) {
	const clients, documents, each = 4, 2, 12
	name := func(k int) string { return "d" + itoa(k%documents) }
	numbers := func(d broker.Document) (n [clients]int) {
		if len(d.Data) > 0 {
			if _, err := fmt.Sscan(string(d.Data), &n[0], &n[1], &n[2], &n[3]); err != nil {
				r.Errorf("document %s has the data %q: %v", d.Name, d.Data, err)
			}
		}
		return n
	}
	together(many(clients, func(i int) {
		b := r.Broker
		if faults {
			b = r.struck(21, i)
		} else if i%2 == 1 {
			b = r.other()
		}
		docs := r.documentsAt(b)
		for k := range documents * each {
			for !r.Failed() {
				var d broker.Document
				if err := insist(r, "ReadDocument", func() (err error) {
					d, _, err = docs.ReadDocument(r.ctx, "c", name(k))
					return err
				}); err != nil {
					r.Errorf("ReadDocument: %v", err)
					return
				}
				n := numbers(d)
				if n[i] > k/documents {
					break
				}
				n[i]++
				d.Data = fmt.Append(nil, n[0], n[1], n[2], n[3])
				_, err := docs.WriteDocument(r.ctx, "c", d)
				if unknown, nothing := doubt(err); err != nil && !unknown && !nothing && !errors.Is(err, broker.ErrConflict) {
					r.Errorf("WriteDocument: %v", err)
					return
				}
			}
		}
	})...)
	for k := range documents {
		d, _, err := r.documents().ReadDocument(r.ctx, "c", name(k))
		if n := numbers(d); err != nil || n != [clients]int{each, each, each, each} {
			r.Fatalf("document %s has the numbers %v, %v, want %d for each client", d.Name, n, err, each)
		}
	}
}
