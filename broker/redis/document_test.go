package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// A damaged document harms only itself, and can be removed.
func TestDamagedDocuments(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		d := newDamaged(t, url)
		ctx, base := t.Context(), "{"+d.space+":documents:c}:"
		write := func(name, data string, version uint64) uint64 {
			t.Helper()
			v, err := d.b.WriteDocument(ctx, "c", broker.Document{Name: name, Data: []byte(data), Version: version})
			d.check(err)
			return v
		}
		good := write("good", "x", 0)
		for damage, want := range map[string]error{
			"": broker.ErrMalformed, "x": broker.ErrMalformed, "1": broker.ErrMalformed, "1 2\nx": broker.ErrMalformed, "1 x 0\n": broker.ErrMalformed,
			"1 -1 0\n": broker.ErrMalformed, "\xff": broker.ErrMalformed, "2 5 0 more\nx": broker.ErrVersion,
		} {
			bad := write("bad", "x", 0)
			d.check(d.raw.HSet(ctx, base+"documents", "bad", damage).Err())
			if got, _, err := d.b.ReadDocument(ctx, "c", "bad"); err != nil || !errors.Is(got.Err, want) || !strings.Contains(got.Err.Error(), "bad") {
				t.Errorf("%q: ReadDocument returned %+v, %v", damage, got, err)
			}
			if _, err := d.b.WriteDocument(ctx, "c", broker.Document{Name: "bad", Version: bad}); !errors.Is(err, want) {
				t.Errorf("%q: WriteDocument: %v", damage, err)
			}
			if err := d.b.RemoveDocument(ctx, "c", "bad", bad); !errors.Is(err, want) {
				t.Errorf("%q: RemoveDocument: %v", damage, err)
			}
			list, err := d.b.DocumentChanges(ctx, "c", 0, 0)
			if err != nil || len(list.Documents) != 2 || list.Documents[1].Version != bad || damage != "" && !errors.Is(list.Documents[1].Err, want) {
				t.Errorf("%q: DocumentChanges returned %+v, %v", damage, list, err)
			}
			good = write("good", "y", good)
			d.check(d.b.RemoveDocument(ctx, "c", "bad", broker.AnyVersion))
		}
		for _, score := range []string{"inf", "-inf", "1e300", "-1"} {
			d.check(d.raw.Do(ctx, "ZADD", base+"versions", score, "other").Err())
			good = write("good", score, good)
		}
		d.check(d.raw.Del(ctx, base+"versions").Err())
		if v := write("good", "z", good); v <= good {
			t.Errorf("version %d follows %d", v, good)
		}
	})
}

// The marks of removed documents are forgotten after an hour, and nothing is left of a collection without
// documents after two.
func TestDocumentMarksAreForgotten(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		d := newDamaged(t, url)
		ctx, base := t.Context(), "{"+d.space+":documents:c}:"
		write := func(name string) {
			t.Helper()
			_, err := d.b.WriteDocument(ctx, "c", broker.Document{Name: name})
			d.check(err)
		}
		for i := range 50 {
			name := fmt.Sprint("d", i)
			write(name)
			d.check(d.b.RemoveDocument(ctx, "c", name, broker.AnyVersion))
			// It was removed more than an hour ago.
			d.check(d.raw.ZAdd(ctx, base+"removed", goredis.Z{Score: float64(time.Now().Add(-61 * time.Minute).UnixMilli()), Member: name}).Err())
		}
		for _, key := range []string{"versions", "removed"} {
			if left := d.raw.PTTL(ctx, base+key).Val(); left <= time.Hour || left > 2*time.Hour {
				t.Errorf("the key %s of an empty collection expires in %v, want two hours", key, left)
			}
		}
		write("last")
		if n := d.raw.ZCard(ctx, base+"versions").Val(); n != 1 {
			t.Errorf("%d names are listed, want 1", n)
		}
		if n := d.raw.Exists(ctx, base+"removed").Val(); n != 0 {
			t.Errorf("marks are left")
		}
		if left := d.raw.PTTL(ctx, base+"versions").Val(); left >= 0 {
			t.Errorf("the versions expire in %v although there is a document", left)
		}
	})
}

// The largest page of a list of documents takes a script that is short enough.
func TestLargePagesOfDocuments(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	redistest.ShortScripts(t, path, scriptMost, largePagesOfDocuments)
}

func largePagesOfDocuments(t *testing.T, server *redistest.Server) {
	b, ctx := open(t, server.URL()), t.Context()
	data := make([]byte, broker.MaxBatchBytes/broker.MaxBatch)
	for i := range broker.MaxBatch + 1 {
		if _, err := b.WriteDocument(ctx, "c", broker.Document{Name: fmt.Sprint("d", i), Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := b.DocumentChanges(ctx, "c", 0, 0); err != nil || !list.More || len(list.Documents) < broker.MaxBatch-50 {
		t.Errorf("a page has %d documents, %v", len(list.Documents), err)
	}
}
