package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Tx executes statements in a transaction. A *sql.Tx is one, and so are the transactions of many
// libraries above database/sql. [Pgx] makes one of a transaction of pgx.
//
// A *sql.DB would do, too. Then each submission is a transaction of its own.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Pgx returns a transaction of pgx (a pgx.Tx) as a [Tx]. Its parameters describe the method Exec of
// pgx.Tx, so that this package does not link pgx:
//
//	tx, err := pool.Begin(ctx)
//	fut, err := tasks.ShipTask.Apply(ctx, ob.In(outbox.Pgx(tx)), order)
func Pgx[Tag interface{ RowsAffected() int64 }](tx interface {
	Exec(ctx context.Context, sql string, arguments ...any) (Tag, error)
}) Tx {
	return pgxTx[Tag]{tx}
}

type pgxTx[Tag interface{ RowsAffected() int64 }] struct {
	tx interface {
		Exec(ctx context.Context, sql string, arguments ...any) (Tag, error)
	}
}

// ExecContext implements [Tx].
func (p pgxTx[Tag]) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := p.tx.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}
