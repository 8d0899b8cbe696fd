package redis_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// Sentinels can have a user and password of their own, which the URL or an option gives.
// Without them, or with wrong ones, the error of Open names the missing login, and contains no
// password.
func TestSentinelLogin(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.StartSentinel(t, path, 1)
	admin := s.Sentinels[0].Client()
	for _, rule := range [][]any{
		{"ACL", "SETUSER", "watch", "on", ">other:/?", "resetchannels", "&*", "-@all", "+ping", "+info", "+client", "+hello", "+subscribe",
			"+sentinel|get-master-addr-by-name", "+sentinel|sentinels", "+sentinel|replicas"},
		{"ACL", "SETUSER", "default", "resetpass", ">alone"},
	} {
		if err := admin.Do(t.Context(), rule...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	url := s.URL()
	for name, c := range map[string]struct {
		url  string
		opts []redis.Option
		want string // a part of the error; "" if Open succeeds
	}{
		"user and password in the URL": {url: url + "?sentinel_username=watch&sentinel_password=other%3A%2F%3F"},
		"beside other parameters":      {url: url + "?pool_size=5&sentinel_username=watch&sentinel_password=other%3A%2F%3F&read_timeout=4s"},
		"a password alone":             {url: url + "?sentinel_password=alone"},
		"an option":                    {url: url, opts: []redis.Option{redis.SentinelLogin("watch", "other:/?")}},
		"an option over the URL":       {url: url + "?sentinel_password=wrong", opts: []redis.Option{redis.SentinelLogin("", "alone")}},
		"none":                         {url: url, want: "SentinelLogin"},
		"a wrong one":                  {url: url + "?sentinel_username=watch&sentinel_password=wr%6Fng", want: "SentinelLogin"},
		"one that can't be read":       {url: url + "?sentinel_password=wr%zzong", want: "%XX"},
		"a cluster": {url: strings.Replace(strings.TrimSuffix(url, "/mymaster/0"), "+sentinel", "+cluster", 1) + "?sentinel_password=wrong",
			want: "a cluster has no sentinels"},
		"one server":     {url: s.Nodes[0].URL() + "?sentinel_password=wrong", want: "sentinel_password"},
		"for one server": {url: s.Nodes[0].URL(), opts: []redis.Option{redis.SentinelLogin("", "wrong")}, want: "is for redis+sentinel"},
	} {
		b, err := redis.Open(t.Context(), c.url, c.opts...)
		if err == nil {
			enqueue(t, b, newTask("q"))
			_ = b.Close()
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		case c.want != "" && (strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), "wr%")):
			t.Errorf("%s: the error contains the password: %v", name, err)
		}
	}
}
