package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// This file opens a broker from a URL: it reads the URL, makes the client of go-redis for
// it, and checks the server before anything depends on it.
//
// One server is read by go-redis itself. A URL with several hosts is not one that net/url
// accepts, so parseMany takes the hosts out and lets go-redis read the rest as the URL of one
// server. Errors and logs must never show a password. That is why URLs are quoted only
// through redact, and why errors of net/url, which quote all of a URL, are replaced.
//
// The check sends a PING, with recognize beside it for servers that stay silent, and reads
// INFO for the version, the mode and the eviction policy.

// Open connects to the servers that the URL names, and checks that they can be used:
//
//	redis://user:password@host:6379/0                          one server
//	rediss://…                                                 the same with TLS
//	unix:///run/redis.sock?db=0                                a socket
//	redis+sentinel://user:password@host1:26379,host2/master/0  Sentinel
//	redis+cluster://user:password@host1:6379,host2:6379        Cluster
//
// rediss+sentinel and rediss+cluster use TLS. The user and password of a URL are for
// the servers that keep tasks. For sentinels that have a user or password of their own,
// add the parameters sentinel_username and sentinel_password, or use [SentinelLogin]:
//
//	redis+sentinel://tasks:secret@host1:26379/master/0?sentinel_username=watch&sentinel_password=other
//
// All other parameters are those of ParseURL in go-redis, such as read_timeout and
// pool_size. ctx limits only Open itself. The error names the address. It wraps
// [broker.ErrInvalid] for a URL, an option or a server that can't be used, and
// [broker.ErrUnavailable] if no server answers. A server that may evict keys is
// accepted, with a warning in the log.
func Open(ctx context.Context, rawURL string, opts ...Option) (*Broker, error) {
	cfg := newConfig(opts)
	if cfg.err != nil {
		return nil, cfg.err
	}
	uni, single, err := parseURL(rawURL, &cfg)
	if err != nil {
		return nil, err
	}
	var client redis.UniversalClient
	if single != nil {
		client = redis.NewClient(single)
	} else {
		client = redis.NewUniversalClient(uni)
	}
	cfg.where = hosts(rawURL)
	unlog := forwardLog(cfg.logger)
	b, err := newBroker(client, cfg)
	if err == nil {
		b.owned, b.unlog = true, unlog
		if single != nil {
			b.links.open(*single)
		}
		err = do(ctx, func() error { return b.check(ctx, probe(uni, single)) })
	}
	if err != nil {
		_ = client.Close()
		unlog()
		return nil, fmt.Errorf("redis: open %s: %w", redact(rawURL), err)
	}
	return b, nil
}

// probe returns a function that calls recognize for the first server, or nil for a Unix
// socket, which recognize can't dial.
func probe(uni *redis.UniversalOptions, single *redis.Options) func(context.Context) string {
	switch {
	case single != nil && single.Network == "unix":
		return nil
	case single != nil:
		return func(ctx context.Context) string { return recognize(ctx, single.Addr, single.TLSConfig != nil) }
	default:
		return func(ctx context.Context) string { return recognize(ctx, uni.Addrs[0], uni.TLSConfig != nil) }
	}
}

// redact returns a URL for errors and logs, without user, password and parameters. It
// also cuts a port that is no number, which may be a part of a password.
func redact(rawURL string) string {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok || !isScheme(scheme) {
		return "without a scheme"
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = rest[i+1:]
	}
	rest, _, _ = strings.Cut(rest, "?")
	names, path := rest, ""
	if i := strings.Index(rest, "/"); i >= 0 {
		names, path = rest[:i], rest[i:]
	}
	all := strings.Split(names, ",")
	for i, name := range all {
		// In user:password without a host, the password stands where a port should.
		at := strings.LastIndex(name, ":")
		if at < 0 || strings.HasSuffix(name, "]") {
			continue
		}
		if _, err := strconv.ParseUint(name[at+1:], 10, 16); err != nil {
			all[i] = name[:at] + ":…"
		}
	}
	return scheme + "://" + strings.Join(all, ",") + path
}

// hosts returns the addresses of a URL.
func hosts(rawURL string) string {
	scheme, rest, _ := strings.Cut(redact(rawURL), "://")
	if scheme == "unix" {
		return rest
	}
	rest, _, _ = strings.Cut(rest, "/")
	return rest
}

// unquoted returns an error about a URL without the parts of the URL that it quotes,
// if the password may be one of them: net/url quotes all, and a password with one of
// the characters /?# is taken for a path or a parameter.
func unquoted(rawURL string, err error) error {
	var bad *url.Error
	_, rest, _ := strings.Cut(rawURL, "://")
	ends := strings.IndexAny(rest, "/?#")
	if errors.As(err, &bad) || ends >= 0 && strings.Contains(rest[ends:], "@") {
		return errors.New("it can't be read; write special characters of the user and the password as %XX, and the port as a number")
	}
	return err
}

// isScheme reports whether a text can be the scheme of a URL.
func isScheme(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// parseURL reads a URL, and returns the second result for one server and the first one
// for Sentinel or Cluster. The client does not repeat commands or dials unless the URL says
// so. An absent server is an error at once then, and the callers in this package and in
// minions decide which requests may be repeated, and for how long.
func parseURL(rawURL string, cfg *config) (*redis.UniversalOptions, *redis.Options, error) {
	bad := func(err error) error {
		return fmt.Errorf("redis: %w URL %s: %w", broker.ErrInvalid, redact(rawURL), unquoted(rawURL, err))
	}
	scheme, _, ok := strings.Cut(rawURL, "://")
	if !ok || !isScheme(scheme) {
		return nil, nil, bad(errors.New("want redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"))
	}
	if cfg.sentinel != (login{}) && !strings.HasSuffix(scheme, "+sentinel") {
		return nil, nil, bad(errors.New("SentinelLogin is for redis+sentinel:// and rediss+sentinel://"))
	}
	switch scheme {
	case "redis", "rediss", "unix":
		o, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, nil, bad(err)
		}
		if cfg.tls != nil {
			o.TLSConfig = cfg.tls
		}
		if cfg.username != "" || cfg.password != "" {
			o.Username, o.Password = cfg.username, cfg.password
		}
		if o.MaxRetries == 0 {
			o.MaxRetries = -1
		}
		o.DialerRetries = 1
		if o.ReadTimeout == 0 {
			o.ReadTimeout = cfg.answerIn()
		}
		o.Dialer = dialer(o.DialTimeout, o.TLSConfig)
		return nil, o, nil
	case "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
		u, err := parseMany(rawURL, cfg)
		if err != nil {
			return nil, nil, bad(err)
		}
		return u, nil, nil
	}
	return nil, nil, bad(fmt.Errorf("scheme %q, want redis, rediss, unix, redis+sentinel or redis+cluster", scheme))
}

// parseMany reads a URL of Sentinel or Cluster. net/url refuses several hosts, so they are
// taken out first.
func parseMany(rawURL string, cfg *config) (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	login, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		login, hosts = authority[:i+1], authority[i+1:]
	}
	kind, cluster := strings.CutSuffix(scheme, "+cluster")
	port := "6379"
	if !cluster {
		kind, _ = strings.CutSuffix(scheme, "+sentinel")
		port = "26379"
	}
	var addrs []string
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return nil, errors.New("an empty host")
		}
		if !strings.Contains(host[strings.LastIndex(host, "]")+1:], ":") {
			host += ":" + port
		}
		if name, number, err := net.SplitHostPort(host); err != nil {
			return nil, errors.New("a host is not as in host:port")
		} else if _, err := strconv.ParseUint(number, 10, 16); err != nil {
			return nil, fmt.Errorf("the port of host %s is no number", name)
		}
		addrs = append(addrs, host)
	}
	master, db := "", 0
	query := ""
	if i := strings.Index(path, "?"); i >= 0 {
		path, query = path[:i], path[i:]
	}
	watch, query, err := sentinelLogin(query, cluster, cfg)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if cluster {
		if strings.Trim(path, "/0") != "" {
			return nil, fmt.Errorf("a cluster has no database %q", path)
		}
	} else {
		if master = parts[0]; master == "" || len(parts) > 2 {
			return nil, fmt.Errorf("path %q, want /master or /master/db", path)
		}
		if len(parts) == 2 {
			n, err := strconv.Atoi(parts[1])
			if err != nil {
				return nil, fmt.Errorf("database %q is no number", parts[1])
			}
			db = n
		}
	}
	// All that is left is read as the URL of one server.
	one, err := redis.ParseURL((&url.URL{Scheme: kind, Host: "127.0.0.1"}).String() + "/" + strconv.Itoa(db) + query)
	if err != nil {
		return nil, err
	}
	if login != "" {
		withLogin, err := redis.ParseURL(kind + "://" + login + "127.0.0.1/0")
		if err != nil {
			return nil, err
		}
		one.Username, one.Password = withLogin.Username, withLogin.Password
	}
	if cfg.username != "" || cfg.password != "" {
		one.Username, one.Password = cfg.username, cfg.password
	}
	u := &redis.UniversalOptions{
		Addrs: addrs, MasterName: master, DB: db, IsClusterMode: cluster,
		Username: one.Username, Password: one.Password, Protocol: one.Protocol,
		SentinelUsername: watch.username, SentinelPassword: watch.password,
		DialTimeout: one.DialTimeout, ReadTimeout: one.ReadTimeout, WriteTimeout: one.WriteTimeout,
		PoolSize: one.PoolSize, PoolTimeout: one.PoolTimeout, MinIdleConns: one.MinIdleConns,
		MaxRetries: one.MaxRetries, ClientName: one.ClientName, DialerRetries: 1,
	}
	if u.ReadTimeout == 0 {
		u.ReadTimeout = cfg.answerIn()
	}
	if u.MaxRetries == 0 && !cluster { // a cluster's client needs retries to follow a hash slot that moves
		u.MaxRetries = -1
	}
	if kind == "rediss" {
		u.TLSConfig = one.TLSConfig
		u.TLSConfig.ServerName = "" // each host has its own name in its certificate
	}
	if cfg.tls != nil {
		u.TLSConfig = cfg.tls
	}
	u.Dialer = dialer(u.DialTimeout, u.TLSConfig)
	return u, nil
}

// login is a user and a password.
type login struct{ username, password string }

// sentinelLogin returns the user and password for sentinels, and the query of the URL
// without them. The option SentinelLogin takes precedence over the URL.
func sentinelLogin(query string, cluster bool, cfg *config) (login, string, error) {
	params, err := url.ParseQuery(strings.TrimPrefix(query, "?"))
	if err != nil { // not wrapped: it may quote a password
		return login{}, "", errors.New("its parameters can't be read; write special characters as %XX")
	}
	const user, password = "sentinel_username", "sentinel_password"
	if !params.Has(user) && !params.Has(password) {
		return cfg.sentinel, query, nil
	}
	if cluster {
		return login{}, "", fmt.Errorf("%s and %s are for redis+sentinel; a cluster has no sentinels", user, password)
	}
	found := login{params.Get(user), params.Get(password)}
	if cfg.sentinel != (login{}) {
		found = cfg.sentinel
	}
	params.Del(user)
	params.Del(password)
	if query = params.Encode(); query != "" {
		query = "?" + query
	}
	return found, query, nil
}

// ping sends the first request. If the answer is lost or takes long, probe finds out what
// kind of server is there. A probe that recognizes a mistake ends the ping, so that Open
// does not wait for the timeouts of the client.
func (b *Broker) ping(ctx context.Context, probe func(context.Context) string) error {
	if probe == nil {
		return b.fault("ping", b.rdb.Ping(ctx).Err())
	}
	within, cancel := context.WithCancel(ctx)
	look := sync.OnceValue(func() string {
		says := probe(within)
		if says != "" {
			cancel()
		}
		return says
	})
	timer := time.AfterFunc(recognizeAfter, func() { look() })
	defer func() {
		cancel()
		if !timer.Stop() {
			look() // it has begun, so wait for its end, which comes soon after that of within
		}
	}()
	err := b.fault("ping", b.rdb.Ping(within).Err())
	if errors.Is(err, broker.ErrIndeterminate) && ctx.Err() == nil {
		if says := look(); says != "" {
			return fmt.Errorf("redis ping: %w: %s %s", broker.ErrInvalid, b.cfg.where, says)
		}
	}
	return err
}

// check returns an error if the server can't be used. It needs an answer to PING; INFO may
// be forbidden, and then version, mode and eviction policy are not checked.
func (b *Broker) check(ctx context.Context, probe func(context.Context) string) error {
	if err := b.ping(ctx, probe); err != nil {
		return err
	}
	info, err := b.rdb.Info(ctx, "server", "memory").Result()
	if err != nil {
		info, err = b.rdb.Info(ctx).Result()
	}
	if err != nil { // an ACL may forbid INFO, which only this check uses
		b.log.Debug("redis: can't read INFO to check the server's version and eviction policy", "error", err)
		return nil
	}
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[k] = v
		}
	}
	switch _, single := b.rdb.(*redis.Client); {
	case fields["redis_mode"] == "sentinel":
		return fmt.Errorf("%w: %s is a Sentinel; use redis+sentinel:// with the name of the master", broker.ErrInvalid, b.cfg.where)
	case fields["redis_mode"] == "cluster" && single:
		return fmt.Errorf("%w: %s %s", broker.ErrInvalid, b.cfg.where, saysCluster)
	}
	if v := fields["redis_version"]; v != "" && !atLeast(v, 6, 2) {
		return fmt.Errorf("%w: the server is Redis %s, want 6.2 or newer", broker.ErrInvalid, v)
	}
	if p := fields["maxmemory_policy"]; p != "" && p != "noeviction" {
		b.log.Warn("redis: the server may evict tasks; set maxmemory-policy noeviction", "maxmemory_policy", p)
	}
	return nil
}

// atLeast reports whether a version like 7.2.4 is major.minor or newer. A version in
// another form counts as new enough.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	x, err1 := strconv.Atoi(parts[0])
	y, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return true
	}
	return x > major || x == major && y >= minor
}
