package outbox

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Dialect is the kind of a database.
type Dialect uint8

// The dialects.
const (
	// PostgreSQL is version 9.6 or later.
	PostgreSQL Dialect = iota + 1
	// MySQL is MySQL 8.0.1 or later, or MariaDB 10.6 or later.
	MySQL
	// SQLite is version 3.24 or later.
	SQLite
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// The database's clock decides all times, in milliseconds since 1970. In PostgreSQL it is the start of
// the statement, which an index can be searched for; clock_timestamp() could not.
const (
	nowPostgreSQL = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS bigint)"
	nowMySQL      = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)"
	nowSQLite     = "(CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER))"
)

// never is the due time of rows that no relay takes, because the broker has refused them.
const never = math.MaxInt64

// statements makes the statements for one pair of tables.
type statements struct {
	d     Dialect
	table string // of the tasks that wait; that of the results has the suffix _done
	now   string
}

func newStatements(d Dialect, table string) statements {
	s := statements{d: d, table: table, now: nowSQLite}
	switch d {
	case PostgreSQL:
		s.now = nowPostgreSQL
	case MySQL:
		s.now = nowMySQL
	}
	return s
}

// done returns the name of the table of results.
func (s *statements) done() string { return s.table + "_done" }

// param returns the placeholder of a parameter, from 1.
func (s *statements) param(n int) string {
	if s.d == PostgreSQL {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// params returns the placeholders of the first n parameters.
func (s *statements) params(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.param(i + 1))
	}
	return b.String()
}

// id returns the column of an id as text.
func (s *statements) id() string {
	if s.d == PostgreSQL {
		return "CAST(id AS text)"
	}
	return "id"
}

// length returns the number of bytes of a column.
func (s *statements) length(column string) string {
	if s.d == PostgreSQL {
		return "octet_length(" + column + ")"
	}
	return "length(" + column + ")"
}

// add returns the statement that adds n rows, each of an id, a version, a name and a record. A row
// that is there already is left as it is: the same call was sent before.
func (s *statements) add(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (id, version, name, due, created, record) VALUES ", s.table)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		at := 4*i + 1
		fmt.Fprintf(&b, "(%s, %s, %s, %s, %s, %s)", s.param(at), s.param(at+1), s.param(at+2), s.now, s.now, s.param(at+3))
	}
	if s.d == MySQL {
		// Unlike INSERT IGNORE this ignores nothing but the double id.
		b.WriteString(" ON DUPLICATE KEY UPDATE id = id")
	} else {
		b.WriteString(" ON CONFLICT (id) DO NOTHING")
	}
	return b.String()
}

// idle returns the statement that lets the database end a transaction, and free its rows, if no statement has come
// for some time: a relay may be on a machine that was cut off. "" is none. In MySQL it is a setting of the connection and
// stays: the database closes the connection when it was idle in the pool for that time, and database/sql opens another.
func (s *statements) idle(after time.Duration) string {
	switch s.d {
	case PostgreSQL:
		return fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", after.Milliseconds())
	case MySQL:
		return fmt.Sprintf("SET SESSION wait_timeout = LEAST(@@SESSION.wait_timeout, %d)", int64(after.Seconds()))
	}
	return ""
}

// take returns the query for the rows that are due, the oldest first: id, version, length of the
// record, and age. It locks them, and leaves out those that another relay has locked. SQLite has no
// locks of rows.
func (s *statements) take(limit int) string {
	hint, lock := "", " FOR UPDATE SKIP LOCKED"
	switch s.d {
	case MySQL:
		// Without the index, all rows that are due would be locked, to sort them.
		hint = " FORCE INDEX (" + s.index("due") + ")"
	case SQLite:
		lock = ""
	}
	return fmt.Sprintf("SELECT %s, version, %s, %s - created FROM %s%s WHERE due <= %s ORDER BY due LIMIT %d%s",
		s.id(), s.length("record"), s.now, s.table, hint, s.now, limit, lock)
}

// index returns the name of an index of the table of tasks.
func (s *statements) index(column string) string {
	return s.table[strings.LastIndexByte(s.table, '.')+1:] + "_" + column
}

// load returns the query for the records of n rows by their ids.
func (s *statements) load(n int) string {
	return fmt.Sprintf("SELECT %s, record FROM %s WHERE id IN (%s)", s.id(), s.table, s.params(n))
}

// remove returns the statement that removes n rows.
func (s *statements) remove(n int) string {
	return fmt.Sprintf("DELETE FROM %s WHERE id IN (%s)", s.table, s.params(n))
}

// postpone returns the statement that makes n rows due after a pause.
func (s *statements) postpone(n int, pause time.Duration) string {
	return fmt.Sprintf("UPDATE %s SET due = %s + %d WHERE id IN (%s)", s.table, s.now, pause.Milliseconds(), s.params(n))
}

// refuse returns the statement that keeps a row from the relays. Its parameters are the reason and the
// id.
func (s *statements) refuse() string {
	return fmt.Sprintf("UPDATE %s SET due = %d, refused = %s WHERE id = %s", s.table, int64(never), s.param(1), s.param(2))
}

// retry returns the statement that makes n refused rows due.
func (s *statements) retry(n int) string {
	return fmt.Sprintf("UPDATE %s SET due = %s, refused = NULL WHERE due = %d AND id IN (%s)", s.table, s.now, int64(never), s.params(n))
}

// drop returns the statement that removes n refused rows.
func (s *statements) drop(n int) string {
	return fmt.Sprintf("DELETE FROM %s WHERE due = %d AND id IN (%s)", s.table, int64(never), s.params(n))
}

// refused returns the query for refused rows: id, name, age and reason.
func (s *statements) refused(limit int) string {
	return fmt.Sprintf("SELECT %s, name, %s - created, refused FROM %s WHERE due = %d ORDER BY created LIMIT %d",
		s.id(), s.now, s.table, int64(never), limit)
}

// backlog returns the query for the numbers of rows that wait and of rows that are refused, and for the
// age of the oldest row that waits.
func (s *statements) backlog() string {
	return fmt.Sprintf("SELECT COALESCE(SUM(CASE WHEN due < %[1]d THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN due = %[1]d THEN 1 ELSE 0 END), 0), "+
		"COALESCE(%[2]s - MIN(CASE WHEN due < %[1]d THEN created END), 0) FROM %[3]s", int64(never), s.now, s.table)
}

// waits returns the query for the reason why the row of an id was refused, NULL if it was not.
func (s *statements) waits() string {
	return fmt.Sprintf("SELECT refused FROM %s WHERE id = %s", s.table, s.param(1))
}

// finish returns the statement that stores a result: id, version, name, attempt and outcome. It adds no
// row if there is one.
func (s *statements) finish() string {
	insert, rest := "INSERT", " ON CONFLICT (id) DO NOTHING"
	if s.d == MySQL {
		// After ON DUPLICATE KEY UPDATE, the number of rows would depend on an option of the connection.
		insert, rest = "INSERT IGNORE", ""
	}
	return fmt.Sprintf("%s INTO %s (id, version, name, attempt, created, outcome) VALUES (%s, %s, %s)%s",
		insert, s.done(), s.params(4), s.now, s.param(5), rest)
}

// find returns the query for the version and the outcome of a task.
func (s *statements) find() string {
	return fmt.Sprintf("SELECT version, outcome FROM %s WHERE id = %s", s.done(), s.param(1))
}

// forget returns the statement that removes up to limit results that are older than keep.
func (s *statements) forget(keep time.Duration, limit int) string {
	old := fmt.Sprintf("created < %s - %d ORDER BY created LIMIT %d", s.now, keep.Milliseconds(), limit)
	switch s.d {
	case PostgreSQL:
		return fmt.Sprintf("DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s WHERE %[2]s FOR UPDATE SKIP LOCKED)", s.done(), old)
	case MySQL: // it has no LIMIT in such a subquery, but one in DELETE
		return fmt.Sprintf("DELETE FROM %s WHERE %s", s.done(), old)
	}
	return fmt.Sprintf("DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s WHERE %[2]s)", s.done(), old)
}
