//go:build unix

package chaos

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker/redis"
)

// readTimeout is how long a client waits for a reply.
const readTimeout = time.Second

// connect opens the broker through the proxies of this process. Servers tell clients each other's
// addresses, and each process has its own proxies. So the addresses are replaced when the client
// dials. Everything else is like redis.Open.
func (c *config) connect(ctx context.Context) (*redis.Broker, error) {
	_, hosts, _ := strings.Cut(c.URL, "://")
	hosts, _, _ = strings.Cut(hosts, "/")
	o := &goredis.UniversalOptions{
		Addrs: strings.Split(hosts, ","), MasterName: c.Master, IsClusterMode: c.Cluster,
		ReadTimeout: readTimeout, DialerRetries: 1, MaxRetries: -1,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: 5 * time.Second}
			return d.DialContext(ctx, network, cmp.Or(c.Via[addr], addr))
		},
	}
	if c.Cluster { // the client of a cluster needs these to follow hash slots
		o.MaxRetries = 0
	}
	client := goredis.NewUniversalClient(o)
	err := client.Ping(ctx).Err()
	if err == nil {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		var b *redis.Broker
		if b, err = redis.New(client, redis.Lease(c.Lease), redis.Logger(log)); err == nil {
			return b, nil
		}
	}
	_ = client.Close()
	return nil, err
}
