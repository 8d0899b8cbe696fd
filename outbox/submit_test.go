//go:build unix

package outbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/outbox"
	"github.com/go-arbiter/arbiter/task"
)

var arbiterCodec = codec.Msgpack()

// logs collects what a relay logs.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newLogs() *logs { return new(logs) }

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logs) wait(t testing.TB, text string) {
	t.Helper()
	eventually(t, "the log has "+text, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Contains(l.text.String(), text)
	})
}

// What can't be sent in a transaction is refused, with the name of the thing and the remedy. The other calls
// of the submission are stored.
func TestRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t, outbox.Limits(broker.Limits{Payload: 1000}))
		good := noteTask.Bind(NoteArgs{})
		var zero task.Call[int]
		inherit := noteTask.With(task.Inherit())
		for name, c := range map[string]struct {
			call task.Bound
			want []string
			is   error
		}{
			"group":     {task.All(good, good), []string{"group", "handler"}, task.ErrInvalid},
			"pipe":      {task.Then(good, task.NewStep[int](noteTask, "n", map[string]any{"text": ""})), []string{"pipe", "handler"}, task.ErrInvalid},
			"join":      {good.With(task.Unique("k"), task.OnConflict(task.ConflictJoin)), []string{"ConflictJoin", "arbiter"}, task.ErrInvalid},
			"zero":      {zero, []string{"Bind"}, task.ErrInvalid},
			"nil":       {nil, []string{"Bind"}, task.ErrInvalid},
			"too large": {noteTask.Bind(NoteArgs{Text: strings.Repeat("x", 2000)}), []string{"1000"}, task.ErrTooLarge},
			"option":    {good.With(task.Retries(-1)), []string{"Retries"}, task.ErrInvalid},
		} {
			d.inTx(t, func(tx *sql.Tx) {
				err := ob.In(tx).Submit(t.Context(), good.With(), c.call, good.With())
				sub, ok := errors.AsType[*task.SubmitError](err)
				if !ok || sub.Total != 3 || len(sub.Failed) != 1 || sub.Failed[0].Index != 1 || !errors.Is(err, c.is) {
					t.Errorf("%s: %v", name, err)
					return
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: the error %q does not say %q", name, err, want)
					}
				}
			})
		}
		if n := d.count(t, outbox.DefaultTable); n != 14 {
			t.Errorf("%d rows, want the 14 calls beside the bad ones", n)
		}
		info := task.Info{ID: broker.NewTaskID("default", ""), Name: "parent", Attempt: 1}
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := inherit.Apply(task.NewContext(t.Context(), &info), ob.In(tx), NoteArgs{}); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "Detach") {
				t.Errorf("Inherit in a handler: %v", err)
			}
			if _, err := inherit.Apply(t.Context(), ob.In(tx), NoteArgs{}); err != nil {
				t.Errorf("Inherit elsewhere, where it has no effect: %v", err)
			}
		})
		if err := ob.In(nil).Submit(t.Context(), good); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("without a transaction: %v", err)
		}
	})
}

// The database's error fails the calls whose rows it has refused, and those behind them.
func TestDatabaseFails(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		tx, err := d.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		calls := make([]task.Bound, 600)
		for i := range calls {
			calls[i] = noteTask.Bind(NoteArgs{N: i})
		}
		err = ob.In(tx).Submit(t.Context(), calls...)
		sub, ok := errors.AsType[*task.SubmitError](err)
		if !ok || len(sub.Failed) != 600 || !errors.Is(err, sql.ErrTxDone) {
			t.Fatalf("after the end of the transaction: %v", err)
		}
		for i, f := range sub.Failed {
			if f.Index != i || f.Name != "note" {
				t.Fatalf("entry %d of the error is %+v", i, f)
			}
		}
		if err := ob.In(tx).Submit(t.Context()); err != nil {
			t.Errorf("no calls: %v", err)
		}
	})
}

// A call keeps its id: sent again, in the same transaction or in the next one, it is one task.
func TestSameCallAgain(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		ob := d.outbox(t)
		call := noteTask.Bind(NoteArgs{N: 1})
		tx, err := d.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		first, err := call.Send(t.Context(), ob.In(tx))
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil { // as after a deadlock
			t.Fatal(err)
		}
		for range 2 {
			d.inTx(t, func(tx *sql.Tx) {
				for range 2 {
					if fut, err := call.Send(t.Context(), ob.In(tx)); err != nil || fut.ID() != first.ID() {
						t.Errorf("sent again: %v, %v; want the id %s", fut, err, first.ID())
					}
				}
			})
		}
		if n := d.count(t, outbox.DefaultTable); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}

// With a codec that encrypts, nothing secret is in the database, the relay needs no key, and the task and its stored
// result can be read with the key.
func TestSealed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		enc, err := codec.Encrypt(codec.Msgpack(), []byte("0123456789abcdef0123456789abcdef"))
		if err != nil {
			t.Fatal(err)
		}
		ob := d.outbox(t, outbox.Codec(enc), quiet)
		const secret = "plain as day"
		b := newBroker(t)
		results := make(chan string, 1)
		echo := task.Define[NoteArgs, string]("echo")
		serve(t, b, []minion.Option{minion.Codecs(enc)}, task.Implement(echo, func(ctx context.Context, args NoteArgs) (string, error) {
			text, err := outbox.Once(ctx, ob, func(*sql.Tx) (string, error) { return args.Text, nil })
			if err == nil {
				text, err = outbox.Once(ctx, ob, func(*sql.Tx) (string, error) { return "", errors.New("it runs twice") })
			}
			results <- fmt.Sprint(text, err)
			return text, err
		}))
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := echo.Apply(t.Context(), ob.In(tx), NoteArgs{Text: secret}); err != nil {
				t.Fatal(err)
			}
		})
		record := func(column, table string) (record []byte) {
			if err := d.db.QueryRowContext(t.Context(), "SELECT "+column+" FROM "+table).Scan(&record); err != nil {
				t.Fatal(err)
			}
			return record
		}
		if bytes.Contains(record("record", "arbiter_outbox"), []byte(secret)) {
			t.Error("the arguments are in the database as they are")
		}
		keyless, err := outbox.New(d.db, d.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		relay(t, keyless, b)
		if got := <-results; got != secret+"<nil>" {
			t.Errorf("the handler got %q, want %q", got, secret)
		}
		sealed := record("outcome", "arbiter_outbox_done")
		if bytes.Contains(sealed, []byte(secret)) {
			t.Error("the result is in the database as it is")
		}
		// The result of one task is not that of another.
		info := task.Info{ID: broker.NewTaskID("default", ""), Name: "echo", Attempt: 1}
		d.exec(t, d.db, "UPDATE arbiter_outbox_done SET id = ?", info.ID.String())
		if text, found, err := outbox.Find[string](task.NewContext(t.Context(), &info), ob); found || !errors.Is(err, codec.ErrForged) {
			t.Errorf("the result of another task: %q, %v, %v; want ErrForged", text, found, err)
		}
	})
}

// Options and names that can't be used are refused by New and Schema.
func TestInvalid(t *testing.T) {
	db, err := sqliteSource(t).open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for name, c := range map[string]struct {
		db  *sql.DB
		d   outbox.Dialect
		opt outbox.Option
	}{
		"no database": {nil, outbox.SQLite, nil},
		"no dialect":  {db, 0, nil},
		"dialect":     {db, 4, nil},
		"injection":   {db, outbox.MySQL, outbox.Table("t; DROP TABLE t")},
		"long":        {db, outbox.MySQL, outbox.Table(strings.Repeat("t", 49))},
		"schema":      {db, outbox.SQLite, outbox.Table("main.t")},
		"codec":       {db, outbox.SQLite, outbox.Codec(nil)},
		"codecs":      {db, outbox.SQLite, outbox.Codecs(nil)},
		"every":       {db, outbox.SQLite, outbox.Every(0)},
		"keep":        {db, outbox.SQLite, outbox.KeepResults(time.Second)},
		"logger":      {db, outbox.SQLite, outbox.Logger(nil)},
	} {
		if _, err := outbox.New(c.db, c.d, c.opt); !errors.Is(err, task.ErrInvalid) || !strings.HasPrefix(err.Error(), "outbox: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := outbox.Schema(outbox.MySQL, "a.b.c"); !errors.Is(err, task.ErrInvalid) {
		t.Errorf("Schema: %v", err)
	}
	for d, want := range map[outbox.Dialect]string{outbox.PostgreSQL: "PostgreSQL", outbox.MySQL: "MySQL", outbox.SQLite: "SQLite", 7: "Dialect(7)"} {
		if d.String() != want {
			t.Errorf("the dialect %d is %s, want %s", d, d, want)
		}
	}
}

// Tables can have another name, in another schema, and two outboxes can share a database.
func TestTables(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d *database) {
		table := "app_box"
		if d.Dialect != outbox.SQLite {
			schema := "other"
			if d.Dialect == outbox.MySQL {
				schema = fmt.Sprintf("other%d", time.Now().UnixNano()) // schemas are databases there
			}
			d.exec(t, d.db, "CREATE SCHEMA "+schema)
			table = schema + ".app_box"
		}
		ob, other := d.outbox(t, outbox.Table(table)), d.outbox(t)
		d.inTx(t, func(tx *sql.Tx) {
			if _, err := noteTask.Apply(t.Context(), ob.In(tx), NoteArgs{}); err != nil {
				t.Fatal(err)
			}
		})
		if n, m := d.count(t, table), d.count(t, outbox.DefaultTable); n != 1 || m != 0 {
			t.Errorf("%d and %d rows, want 1 and 0", n, m)
		}
		relay(t, ob, newBroker(t))
		empty(t, ob)
		if _, err := other.Forget(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Every option has a test of its effect.
func TestOptions(t *testing.T) {
	if err := optionlist.Check(".", map[string]string{
		"Codec": "TestSealed", "Codecs": "TestCodecs", "Every": "TestWakeAndEvery", "KeepResults": "TestForget", "Limits": "TestRefused",
		"Logger": "TestNoTables", "Table": "TestTables",
	}); err != nil {
		t.Error(err)
	}
}
