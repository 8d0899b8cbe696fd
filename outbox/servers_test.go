//go:build unix

package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/go-arbiter/arbiter/outbox"
)

// sqlEnv is the name of the environment variable for a machine without a database server. With the
// value "require" the tests fail there.
const sqlEnv = "ARBITER_TEST_SQL"

// source says how a process opens the database of a test.
type source struct {
	Dialect outbox.Dialect
	Driver  string
	DSN     string
}

// open opens the database.
func (s source) open() (*sql.DB, error) { return sql.Open(s.Driver, s.DSN) }

// database is the database of a test, in which the tables are made.
type database struct {
	source
	db *sql.DB
}

// outbox returns an outbox in the database.
func (d *database) outbox(t testing.TB, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	ob, err := outbox.New(d.db, d.Dialect, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := ob.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ob
}

// exec executes statements of a test, with the placeholder ?.
func (d *database) exec(t testing.TB, tx outbox.Tx, query string, args ...any) {
	t.Helper()
	if _, err := tx.ExecContext(t.Context(), d.query(query), args...); err != nil {
		t.Fatal(err)
	}
}

// query returns a query with the placeholders of the database.
func (d *database) query(text string) string {
	if d.Dialect != outbox.PostgreSQL {
		return text
	}
	for n := 1; strings.Contains(text, "?"); n++ {
		text = strings.Replace(text, "?", "$"+strconv.Itoa(n), 1)
	}
	return text
}

// count returns the number of rows of a table.
func (d *database) count(t testing.TB, table string) int {
	t.Helper()
	n := 0
	if err := d.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eachDatabase runs a test with each database that this machine has. SQLite is always there.
func eachDatabase(t *testing.T, test func(t *testing.T, d *database)) {
	t.Helper()
	for _, kind := range []struct {
		name   string
		source func(testing.TB) source
	}{
		{"SQLite", sqliteSource}, {"PostgreSQL", postgres.source}, {"MariaDB", mariadb.source},
	} {
		t.Run(kind.name, func(t *testing.T) {
			d := &database{source: kind.source(t)}
			db, err := d.open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			d.db = db
			test(t, d)
		})
	}
}

// sqliteSource returns a database in a file of its own.
func sqliteSource(t testing.TB) source {
	return source{
		outbox.SQLite, "sqlite",
		"file:" + filepath.Join(t.TempDir(), "test.db") + "?_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)",
	}
}

// server is a database server that the tests share. Each test has a database of its own there.
type server struct {
	start func(s *server, dir string) error
	dsn   func(s *server, database string) source
	admin string // the database that is always there

	end os.Signal // ends the server and its processes at once

	once      sync.Once
	err       error // why there is no server
	dir       string
	process   *os.Process   // nil if none was started
	exited    chan struct{} // closed when it has ended
	databases atomic.Int64
}

var (
	postgres = &server{start: startPostgres, admin: "postgres", end: syscall.SIGQUIT, dsn: func(s *server, name string) source {
		return source{outbox.PostgreSQL, "pgx", "host=" + s.dir + " user=arbiter dbname=" + name}
	}}
	mariadb = &server{start: startMariaDB, admin: "mysql", end: os.Kill, dsn: func(s *server, name string) source {
		// With clientFoundRows the server counts rows in another way, so the tests cover the case.
		return source{outbox.MySQL, "mysql", "root@unix(" + filepath.Join(s.dir, "socket") + ")/" + name + "?clientFoundRows=true"}
	}}
)

// source makes a database for a test. It skips the test if the machine has no such server.
func (s *server) source(t testing.TB) source {
	t.Helper()
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "arbiter-sql"); s.err == nil { //nolint:usetesting // the server serves other tests, too
			s.err = s.start(s, s.dir)
		}
	})
	if errors.Is(s.err, exec.ErrNotFound) && os.Getenv(sqlEnv) != "require" {
		t.Skipf("the test needs a database server: %v (set %s=require to make that a failure)", s.err, sqlEnv)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	name := "test" + strconv.FormatInt(s.databases.Add(1), 10)
	admin, err := s.dsn(s, s.admin).open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.dsn(s, name)
}

// stop ends the server and removes its files.
func (s *server) stop() {
	if s.process != nil {
		_ = s.process.Signal(s.end)
		select {
		case <-s.exited:
		case <-time.After(time.Minute):
			_ = s.process.Kill()
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// find returns the path of a program of a server. Distributions keep some of them outside of the PATH.
func find(program string, folders ...string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, pattern := range folders {
		found, _ := filepath.Glob(filepath.Join(pattern, program))
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", err
}

// startPostgres starts a server that listens to a socket in dir. It refuses to run as root, so root runs
// it as another user.
func startPostgres(s *server, dir string) error {
	const folders = "/usr/lib/postgresql/*/bin"
	initdb, err := find("initdb", folders)
	if err != nil {
		return err
	}
	program, err := find("postgres", folders)
	if err != nil {
		return err
	}
	uid, gid, err := unprivileged(dir)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	init := exec.Command(initdb, "--pgdata", data, "--username", "arbiter", "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	init.Dir = dir
	bind(init, uid, gid)
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s.launch(uid, gid, program, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
}

// unprivileged gives dir to a user other than root, if this process is of root. It returns 0 if it is not.
func unprivileged(dir string) (uid, gid uint32, err error) {
	if os.Getuid() != 0 {
		return 0, 0, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return 0, 0, err
	}
	u, errUID := strconv.ParseUint(who.Uid, 10, 32)
	g, errGID := strconv.ParseUint(who.Gid, 10, 32)
	return uint32(u), uint32(g), errors.Join(errUID, errGID, os.Chown(dir, int(u), int(g)))
}

// startMariaDB starts a server that listens to a socket in dir.
func startMariaDB(s *server, dir string) error {
	const folders = "/usr/sbin"
	install, err := find("mariadb-install-db")
	if err != nil {
		return err
	}
	program, err := find("mariadbd", folders)
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	init := exec.Command(install, "--no-defaults", "--datadir="+data, "--user="+me.Username, "--auth-root-authentication-method=normal", "--skip-test-db",
		"--skip-name-resolve")
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	return s.launch(0, 0, program, "--no-defaults", "--datadir="+data, "--user="+me.Username, "--socket="+filepath.Join(dir, "socket"),
		"--pid-file="+filepath.Join(dir, "pid"), "--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--max-connections=200")
}

// launch starts the program of a server and waits until it answers.
func (s *server) launch(uid, gid uint32, program string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	bind(cmd, uid, gid)
	started := make(chan error, 1)
	s.exited = make(chan struct{})
	go func() {
		runtime.LockOSThread() // Linux ends the process with the thread that has started it
		err := cmd.Start()
		if started <- err; err == nil {
			_ = cmd.Wait()
		}
		close(s.exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process = cmd.Process
	db, err := s.dsn(s, s.admin).open()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for begun := time.Now(); ; {
		err := db.PingContext(context.Background())
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			err = fmt.Errorf("it has ended: %w", err)
		case <-time.After(20 * time.Millisecond):
			if time.Since(begun) < 5*time.Minute {
				continue
			}
		}
		text, readErr := os.ReadFile(log.Name())
		if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		return fmt.Errorf("%s does not answer: %w: %s", program, err, text)
	}
}
