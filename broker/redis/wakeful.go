package redis

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Go lets a goroutine whose reply has arrived wait behind all others that can run. If
// hundreds of handlers compute without a pause on few processors, that takes seconds,
// and a heartbeat that the server has answered is heard too late. A goroutine whose
// timer has fired runs next. So a read on a connection for heartbeats does not wait for
// the network: it looks whether something has come, sleeps for a moment, and looks again.
// It is for heartbeats alone: all other requests share the processors with the handlers.

// wakefulKey is the key of a context that asks a dialer of Open for such a connection.
type wakefulKey struct{}

// wakefulDialer dials as another dialer does, and asks it for a wakeful connection. A
// dialer that was not made by Open does not know of it; then the connection is made
// wakeful unless it is one with TLS, which would have to be wakeful below.
func wakefulDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(context.WithValue(ctx, wakefulKey{}, true), network, addr)
		if err != nil {
			return nil, err
		}
		return wakeful(conn), nil
	}
}

// dialer dials as the client does by itself, and makes connections wakeful if the
// context asks for it.
func dialer(timeout time.Duration, config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if timeout == 0 {
		timeout = 5 * time.Second // as the client's
	}
	usual := redis.NewDialer(&redis.Options{DialTimeout: timeout, TLSConfig: config})
	plain := redis.NewDialer(&redis.Options{DialTimeout: timeout})
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if ctx.Value(wakefulKey{}) == nil {
			return usual(ctx, network, addr)
		}
		raw, err := plain(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn := wakeful(raw)
		if config == nil {
			return conn, nil
		}
		own := config
		if own.ServerName == "" {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				host = addr
			}
			own = own.Clone()
			own.ServerName = host
		}
		secure := tls.Client(conn, own)
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return secure, nil
	}
}
