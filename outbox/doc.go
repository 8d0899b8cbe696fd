// Package outbox sends tasks within database transactions. A call that is sent with the transaction is
// a row of a table until the transaction is committed; then a relay moves it to the broker. If the
// transaction is rolled back, there is no task.
//
//	ob, err := outbox.New(db, outbox.PostgreSQL)
//	go ob.Run(ctx, b) // the relay, in any number of processes
//
//	tx, err := db.BeginTx(ctx, nil)
//	_, err = tx.ExecContext(ctx, "INSERT INTO orders …")
//	fut, err := tasks.ShipTask.Apply(ctx, ob.In(tx), order)
//	err = tx.Commit()
//	ob.Wake() // the relay of this process moves the task at once
//
// On the other side, [Once] runs the body of a handler in a transaction and stores its result with the
// handler's own writes. A repeated attempt of the task gets this result, and writes nothing.
//
// It works with PostgreSQL, MariaDB, MySQL and SQLite, through database/sql, and within transactions of
// pgx ([Pgx]). It is a module of its own, and links no driver. docs/transactions.md is the guide.
package outbox
