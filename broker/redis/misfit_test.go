package redis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// wantMisfit checks the error for a server that does not fit: it wraps ErrInvalid alone,
// names the address and the remedy, and contains no password.
func wantMisfit(t *testing.T, err error, addr, says string) {
	t.Helper()
	switch {
	case !errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate):
		t.Errorf("got %v, want an error that wraps ErrInvalid alone", err)
	case !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), says):
		t.Errorf("got %v, want an error that names %s and says %q", err, addr, says)
	case strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "wrong"):
		t.Errorf("the error %v contains the password", err)
	}
}

// Open of a server that does not fit the URL fails soon, and the error has the remedy.
func TestMisfit(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	plain := redistest.Start(t, path).Addr
	locked := redistest.Start(t, path, "--requirepass", "secret").Addr
	secured, conf := redistest.StartTLS(t, path)
	node := redistest.StartCluster(t, path, 1).Nodes[0].Addr
	sentinels := redistest.StartSentinel(t, path, 1)
	sentinel := sentinels.Sentinels[0].Addr
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	webTLS := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(webTLS.Close)
	http1 := strings.TrimPrefix(web.URL, "http://")
	http1s := strings.TrimPrefix(webTLS.URL, "https://")
	trusted, otherName := conf.Clone(), conf.Clone()
	otherName.ServerName = "elsewhere.example"
	busy := stall.Start(t)
	anyone := &tls.Config{InsecureSkipVerify: true}
	for _, c := range []struct {
		url, addr, says string
		tls             *tls.Config
	}{
		{url: "redis://" + plain + "/99", addr: plain, says: "has no such database"},
		{url: "redis://" + locked, addr: locked, says: "asks for a password"},
		{url: "redis://:wrong@" + locked, addr: locked, says: "check those of the URL or of Login"},
		{url: "redis://nobody:wrong@" + locked, addr: locked, says: "check those of the URL or of Login"},
		{url: "redis://nobody:wrong@" + plain, addr: plain, says: "check those of the URL or of Login"},
		{url: "redis+cluster://:wrong@" + locked, addr: locked, says: "check those of the URL or of Login"},
		{url: "rediss://" + plain, addr: plain, says: "does not speak TLS"},
		{url: "rediss+cluster://" + plain, addr: plain, says: "does not speak TLS"},
		{url: "redis://" + secured.Addr, addr: secured.Addr, says: "speaks TLS; use"},
		{url: "redis+cluster://" + secured.Addr, addr: secured.Addr, says: "speaks TLS; use"},
		{url: "rediss://" + secured.Addr, addr: secured.Addr, says: "certificate that does not verify"},
		{url: "rediss://" + secured.Addr, addr: secured.Addr, says: "certificate that does not verify", tls: otherName},
		{url: "redis://" + http1, addr: http1, says: "is an HTTP server"},
		{url: "rediss://" + http1, addr: http1, says: "is an HTTP server"},
		{url: "rediss://" + http1s, addr: http1s, says: "is an HTTP server", tls: anyone},
		{url: "redis+cluster://" + http1, addr: http1, says: "is an HTTP server"},
		{url: "redis+cluster://" + plain, addr: plain, says: "is no cluster"},
		{url: "redis://" + node, addr: node, says: "node of a cluster"},
		{url: "redis://" + node + "/3", addr: node, says: "node of a cluster"},
		{url: "redis://" + sentinel, addr: sentinel, says: "is a Sentinel"},
		{url: "redis+sentinel://" + plain + "/main", addr: plain, says: "is no Sentinel"},
		{url: "redis+sentinel://" + sentinel + "/nobody", addr: sentinel, says: "do not know the master"},
	} {
		t.Run(c.url+" "+c.says, func(t *testing.T) {
			t.Parallel()
			var opts []redis.Option
			if c.tls != nil {
				opts = append(opts, redis.TLS(c.tls))
			}
			began := time.Now()
			b, err := redis.Open(context.Background(), c.url, opts...)
			if err == nil {
				_ = b.Close()
				t.Fatal("Open succeeded")
			}
			wantMisfit(t, err, c.addr, c.says)
			if d := time.Since(began); d > busy.Late(4*time.Second) {
				t.Errorf("Open took %v", d)
			}
		})
	}
	if b, err := redis.Open(t.Context(), "rediss://"+secured.Addr, redis.TLS(trusted)); err != nil {
		t.Errorf("with the right certificate authority: %v", err)
	} else {
		_ = b.Close()
	}
}

// On a client that was passed to New, the first operation fails in the same way.
func TestMisfitOfNew(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	locked := redistest.Start(t, path, "--requirepass", "secret").Addr
	node := redistest.StartCluster(t, path, 2).Nodes[0].Addr
	for says, o := range map[string]*goredis.Options{
		"asks for a password":  {Addr: locked},
		"refuses the user":     {Addr: locked, Password: "wrong"},
		"has no such database": {Addr: locked, Password: "secret", DB: 99},
		"node of a cluster":    {Addr: node},
	} {
		client := goredis.NewClient(o)
		b, err := redis.New(client)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // some of 20 queues have hash slots of other nodes
			if err = b.Enqueue(t.Context(), []*broker.Task{newTask(broker.NewID(broker.KindParty, "", 0).String())}); err != nil {
				break
			}
		}
		wantMisfit(t, err, o.Addr, says)
		_, err = b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"a", "b", "c", "d", "e"}, Slots: 1})
		wantMisfit(t, err, o.Addr, says)
		_ = b.Close()
		_ = client.Close()
	}
}

// If the user of a broker lacks a right, each operation that needs it fails at once with an
// error that says so.
func TestMisfitOfRights(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	for name, lacks := range map[string][]any{
		"scripts":   {"-eval", "-evalsha"},
		"subscribe": {"-subscribe"},
		"blmove":    {"-blmove"},
		"zadd":      {"-zadd"},
	} {
		rule := append([]any{"acl", "setuser", name, "on", ">secret", "~*", "&*", "+@all"}, lacks...)
		if err := s.Client().Do(t.Context(), rule...).Err(); err != nil {
			t.Fatal(err)
		}
		b := open(t, "redis://"+name+":secret@"+s.Addr)
		c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
		// The server may refuse a blocking move after its dequeue has ended.
		for end := time.Now().Add(25 * time.Second); err == nil && time.Now().Before(end); {
			_, err = c.Dequeue(t.Context(), []string{"q"}, 1, 10*time.Millisecond)
		}
		if name != "zadd" {
			wantMisfit(t, err, s.Addr, "NOPERM")
		} else if !errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), "the rights that are needed") {
			t.Errorf("a script that may not use a command that it needs: %v", err)
		}
		if c != nil {
			_ = c.Close(context.Background())
		}
	}
}

// An operation that has worked before fails with ErrUnavailable when the password has been
// changed since: programs wait until an operator has corrected that.
func TestMisfitLater(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	admin := s.Client()
	rule := func(words ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), append([]any{"acl", "setuser", "all"}, words...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	rule("on", ">secret", "~*", "&*", "+@all")
	b := open(t, "redis://all:secret@"+s.Addr)
	send := func() error { return b.Enqueue(t.Context(), []*broker.Task{newTask("q")}) }
	if err := send(); err != nil {
		t.Fatal(err)
	}
	for code, change := range map[string][2]any{"WRONGPASS": {"resetpass", ">secret"}, "NOPERM": {"-evalsha", "+evalsha"}} {
		rule(change[0])
		if err := admin.ClientKillByFilter(t.Context(), "USER", "all").Err(); err != nil {
			t.Fatal(err)
		}
		var err error
		for range 3 { // the first ones find that their connections were closed
			err = send()
		}
		if !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrIndeterminate) ||
			!strings.Contains(err.Error(), code) || !strings.Contains(err.Error(), s.Addr) {
			t.Errorf("got %v, want ErrUnavailable with %s", err, code)
		}
		rule(change[1])
		if err := send(); err != nil {
			t.Errorf("after the correction: %v", err)
		}
	}
}

// A server that is absent or does not answer is unavailable, and not a mistake in the URL.
func TestNoMisfit(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	for _, scheme := range []string{"redis://", "redis+cluster://"} {
		_, err := redis.Open(t.Context(), scheme+"127.0.0.1:1")
		if !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrInvalid) {
			t.Errorf("no server at the address: %v", err)
		}
	}
	s.Freeze(true)
	defer s.Freeze(false)
	_, err := redis.Open(t.Context(), "redis://"+s.Addr+"?read_timeout=500ms")
	if !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrInvalid) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

// Errors about a URL never contain its password, whatever is wrong with the URL.
func TestNoPasswordInErrors(t *testing.T) {
	for _, url := range []string{
		"redis://user:secret", "redis://user:secret%@127.0.0.1:1", "redis://user:secret@127.0.0.1:x", "redis://:secret@127.0.0.1:1/x",
		"redis://user:se%zzsecret@127.0.0.1:1", "redis://user:secret@127.0.0.1:1", "redis+cluster://user:secret", "redis+cluster://user:secret%@127.0.0.1:1",
		"redis+sentinel://user:secret@127.0.0.1:1", "redis+sentinel://user:secret%@127.0.0.1:1/m", "redis+sentinel://user:secret/m",
		"redis://user:secret@127.0.0.1:1?password=secret", "user:secret@127.0.0.1", "redis:user:secret@127.0.0.1", "user:secret://127.0.0.1", "redis://127.0.0.1:1/secret@x:y",
		"redis://user:pa/secret@127.0.0.1:1", "redis+sentinel://user:pa/secret@127.0.0.1:1/m", "redis+cluster://user:pa/secret@127.0.0.1:1", "redis://user:1?secret@127.0.0.1:1",
	} {
		b, err := redis.Open(t.Context(), url)
		if err == nil {
			_ = b.Close()
			t.Fatalf("Open of %s succeeded", url)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error contains the password: %v", err)
		}
	}
}

// If a proxy refuses the scripts because of their text, operations fail at once with an error
// that names the setting of the proxy.
func TestMisfitOfProxy(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	b := open(t, "redis://"+server.Addr())
	server.SetError("ERR bad lua script for redis cluster, all the keys that the script uses should be passed using the KEYS array, and KEYS should not be in expression")
	defer server.SetError("")
	err := b.Enqueue(t.Context(), []*broker.Task{newTask("q")})
	var batch *broker.BatchError
	if !errors.As(err, &batch) {
		t.Fatal(err)
	}
	wantMisfit(t, batch.Errs[0], server.Addr(), "script_check_enable to 0")
}
