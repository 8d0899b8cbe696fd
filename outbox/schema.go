package outbox

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// DefaultTable is the table of tasks that wait, if [Table] does not name another one.
const DefaultTable = "arbiter_outbox"

// tableName is a name that needs no quotes, perhaps with that of a schema or database. Names of indexes and of the
// table of results are made of it.
var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,47}\.)?[A-Za-z_][A-Za-z0-9_]{0,47}$`)

// checkTable returns the reason why a table can't have the name, or nil.
func checkTable(d Dialect, table string) error {
	switch {
	case d < PostgreSQL || d > SQLite:
		return invalid("dialect %d, want PostgreSQL, MySQL or SQLite", d)
	case !tableName.MatchString(table):
		return invalid("the table name %.100q, want up to 48 of A-Z a-z 0-9 _, perhaps after that of a schema and a dot", table)
	case d == SQLite && strings.Contains(table, "."):
		return invalid("the table name %q: with SQLite it has no schema before it", table)
	}
	return nil
}

// Schema returns the statements that make the tables and indexes: table, for the tasks that wait, and
// table_done, for the results of [Outbox.Done]. Each statement can be executed again without harm.
//
// The list may only grow: a later version of this package appends statements that change the tables of
// an earlier one, and never changes a statement. So a tool for migrations can note how many of them it
// has executed. [Outbox.Migrate] executes all of them.
//
// The error wraps [task.ErrInvalid]: the dialect or the name is wrong.
func Schema(d Dialect, table string) ([]string, error) {
	if err := checkTable(d, table); err != nil {
		return nil, err
	}
	s := newStatements(d, table)
	switch d {
	case PostgreSQL:
		return []string{
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id uuid PRIMARY KEY,
	version smallint NOT NULL,
	name varchar(128) NOT NULL,
	due bigint NOT NULL,
	created bigint NOT NULL,
	record bytea NOT NULL,
	refused text
)`, s.table),
			fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (due)", s.index("due"), s.table),
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id uuid PRIMARY KEY,
	version smallint NOT NULL,
	name varchar(128) NOT NULL,
	attempt bigint NOT NULL,
	created bigint NOT NULL,
	outcome bytea NOT NULL
)`, s.done()),
			fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (created)", s.index("done_created"), s.done()),
		}, nil
	case MySQL: // MySQL has no CREATE INDEX IF NOT EXISTS
		return []string{
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id char(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	version smallint NOT NULL,
	name varchar(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	due bigint NOT NULL,
	created bigint NOT NULL,
	record longblob NOT NULL,
	refused text CHARACTER SET utf8mb4,
	INDEX %s (due)
) ENGINE = InnoDB`, s.table, s.index("due")),
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id char(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	version smallint NOT NULL,
	name varchar(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	attempt bigint NOT NULL,
	created bigint NOT NULL,
	outcome longblob NOT NULL,
	INDEX %s (created)
) ENGINE = InnoDB`, s.done(), s.index("done_created")),
		}, nil
	}
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id text NOT NULL PRIMARY KEY,
	version integer NOT NULL,
	name text NOT NULL,
	due integer NOT NULL,
	created integer NOT NULL,
	record blob NOT NULL,
	refused text
)`, s.table),
		fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (due)", s.index("due"), s.table),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id text NOT NULL PRIMARY KEY,
	version integer NOT NULL,
	name text NOT NULL,
	attempt integer NOT NULL,
	created integer NOT NULL,
	outcome blob NOT NULL
)`, s.done()),
		fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (created)", s.index("done_created"), s.done()),
	}, nil
}

// Migrate executes the statements of [Schema] in the outbox's database. It needs the right to make tables.
// Do not call it within a transaction: MySQL would commit it.
func (o *Outbox) Migrate(ctx context.Context) error {
	all, err := Schema(o.s.d, o.s.table)
	if err != nil {
		return err
	}
	for _, statement := range all {
		if _, err := o.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("outbox: make the tables: %w", err)
		}
	}
	return nil
}
