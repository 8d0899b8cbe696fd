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

// readTimeout is when a client gives a silent connection up.
const readTimeout = time.Second

// connect opens the broker through the proxies of this process. Servers tell each
// other's addresses, and each process has proxies of its own, so they are put in
// place when it dials. All else is as redis.Open does it.
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
	if c.Cluster { // its client needs them to follow its slots
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
