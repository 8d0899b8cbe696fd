package redis_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// aclRule returns the ACL command of the documentation, word by word, with the given namespace. It
// fails if the two documents differ.
func aclRule(t *testing.T, namespace string) []any {
	t.Helper()
	words := aclIn(t, "doc.go", "//")
	if other := aclIn(t, "../../docs/deploying.md", ""); !slices.Equal(words, other) {
		t.Fatalf("docs/deploying.md has another ACL, %v", other)
	}
	args := make([]any, len(words))
	for i, w := range words {
		args[i] = strings.ReplaceAll(w, "arbiter", namespace)
	}
	return args
}

// aclIn returns the words of the ACL command in a file. The command ends with a line that consists
// of margin.
func aclIn(t *testing.T, file, margin string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rule, found := strings.Cut(string(text), "ACL SETUSER ")
	rule, _, ends := strings.Cut(rule, "\n"+margin+"\n")
	if !found || !ends {
		t.Fatalf("%s has no ACL", file)
	}
	words := []string{"ACL", "SETUSER"}
	for w := range strings.FieldsSeq(rule) {
		if w != "//" {
			words = append(words, w)
		}
	}
	return words
}

// allow creates the user of the documentation at a server, for namespaces that begin with ns, and
// returns a URL for it. The test fails if the server refuses this user anything.
func allow(t *testing.T, s *redistest.Server) (url string) {
	t.Helper()
	admin := s.Client()
	if err := admin.Do(t.Context(), aclRule(t, "ns*")...).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := admin.ACLLog(context.Background(), 100).Result()
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			t.Errorf("the server refused %s %s, %s", e.Reason, e.Object, e.Context)
		}
	})
	return "redis://tasks:secret@" + s.Addr + "/0"
}

// A user with the documented ACL can do nothing outside its namespace. TestConformanceServer, and
// in the long form TestConformanceLargeRecords, test that the ACL allows all that a broker does.
func TestACL(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	opt, err := goredis.ParseURL(allow(t, s))
	if err != nil {
		t.Fatal(err)
	}
	user := goredis.NewClient(opt)
	defer func() { _ = user.Close() }()
	for _, words := range []string{
		"GET other", "SET {other:default}:state 1", "RPUSH {other}:minions 1", "PUBLISH other:inbox:1 x", "SUBSCRIBE other:wake:default",
		"FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "ACL LIST", "SHUTDOWN", "SCRIPT FLUSH", "FUNCTION FLUSH", "CLIENT LIST", "CLIENT KILL 127.0.0.1:1",
	} {
		var args []any
		for w := range strings.FieldsSeq(words) {
			args = append(args, w)
		}
		if err := user.Do(t.Context(), args...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%s: %v, want NOPERM", words, err)
		}
	}
	if err := s.Client().Do(t.Context(), "acl", "log", "reset").Err(); err != nil {
		t.Fatal(err)
	}
}

// The documented ACL is also sufficient on a cluster.
func TestACLOnCluster(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	c := redistest.StartCluster(t, path, 3)
	for _, node := range c.Nodes {
		allow(t, node)
	}
	b, err := redis.Open(t.Context(), strings.Replace(c.URL(), "://", "://tasks:secret@", 1), redis.Namespace("ns-cluster"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	for i := range 20 {
		queue := fmt.Sprintf("q%d", i)
		sent := &broker.Task{ID: broker.NewID(broker.KindTask, queue, 0), Name: "work", Queue: queue, Codec: "json", Payload: []byte("[]")}
		if err := b.Enqueue(t.Context(), []*broker.Task{sent}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Lookup(t.Context(), []broker.ID{sent.ID}); err != nil {
			t.Error(err)
		}
	}
	if queues, err := b.Queues(t.Context()); err != nil || len(queues) != 20 {
		t.Errorf("%d queues, %v", len(queues), err)
	}
}
