//go:build unix

package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/outbox"
	"github.com/go-arbiter/arbiter/task"
)

// openDatabase opens a database for the examples.
func openDatabase() (db *sql.DB, remove func()) {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}
}

// OrderArgs are the arguments of the task of the examples.
type OrderArgs struct {
	Order int `arbiter:"order"`
}

// shipTask ships an order, and returns the number of its parcel.
var shipTask = task.Define[OrderArgs, int]("ship")

// An order and the task that ships it are committed together, and so are the handler's writes and its result.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, remove := openDatabase()
	defer remove()
	b := memory.New()

	ob, err := outbox.New(db, outbox.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	if err := ob.Migrate(ctx); err != nil { // or a tool of yours, with the statements of outbox.Schema
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id integer PRIMARY KEY, parcel integer)"); err != nil {
		log.Fatal(err)
	}

	// The relay moves tasks of committed transactions to the broker.
	relayed := make(chan error, 1)
	go func() { relayed <- ob.Run(ctx, b) }()

	// A minion runs them.
	m, err := minion.New(b)
	if err != nil {
		log.Fatal(err)
	}
	err = task.Handle(m, shipTask, func(ctx context.Context, args OrderArgs) (int, error) {
		return outbox.Once(ctx, ob, func(tx *sql.Tx) (int, error) {
			parcel := 100 + args.Order
			_, err := tx.ExecContext(ctx, "UPDATE orders SET parcel = ? WHERE id = ?", parcel, args.Order)
			return parcel, err
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := m.Run(ctx, 3); err != nil && !errors.Is(err, task.ErrClosed) {
			log.Print(err)
		}
	}()

	// The order and its task.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (7)"); err != nil {
		log.Fatal(err)
	}
	fut, err := shipTask.Apply(ctx, ob.In(tx), OrderArgs{Order: 7})
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	ob.Wake() // the relay need not wait for its next look

	// After the commit, anybody can wait for the result.
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	parcel, err := task.NewFuture[int](ob.Results(arb), fut.ID()).Result(ctx)
	fmt.Println(parcel, err)

	cancel()
	fmt.Println(<-relayed)

	// Output:
	// 107 <nil>
	// <nil>
}

// An attempt that comes after one which has committed gets its result.
func ExampleOnce() {
	db, remove := openDatabase()
	defer remove()
	ob, err := outbox.New(db, outbox.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	if err := ob.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	handler := func(ctx context.Context, args OrderArgs) (int, error) {
		return outbox.Once(ctx, ob, func(*sql.Tx) (int, error) {
			fmt.Println("shipping order", args.Order)
			return 100 + args.Order, nil
		})
	}

	// A minion gives each attempt such a context.
	id, err := task.ParseID("0198c0de-7000-7000-8000-000000000000")
	if err != nil {
		log.Fatal(err)
	}
	for attempt := range 2 {
		ctx := task.NewContext(context.Background(), &task.Info{ID: id, Name: "ship", Attempt: uint32(attempt + 1)})
		fmt.Println(handler(ctx, OrderArgs{Order: 7}))
	}

	// Output:
	// shipping order 7
	// 107 <nil>
	// 107 <nil>
}

// The statements that make the tables, for a tool for migrations.
func ExampleSchema() {
	statements, err := outbox.Schema(outbox.PostgreSQL, "arbiter_outbox")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(statements[1])

	// Output:
	// CREATE INDEX IF NOT EXISTS arbiter_outbox_due ON arbiter_outbox (due)
}
