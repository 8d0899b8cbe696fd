package redis

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Heartbeats use connections whose reads poll the socket. The reason is the scheduler of
// Go: a goroutine that waits for the network becomes runnable when the reply is there, and
// then waits behind all other runnable goroutines. With hundreds of handlers that compute
// without a pause on few processors that takes seconds, and a heartbeat that the server has
// answered in time is noticed too late. A goroutine whose timer has fired runs next. So a
// polling connection does not wait for the network: it looks whether there is data, sleeps
// for a moment, and looks again. Only heartbeats do that. All other requests share the
// processors with the handlers in the usual way.
//
// Under TLS the raw connection has to be the polling one. The dialer that Open gives to the
// client makes it so if the context asks for it.

// pollingKey is the key of a context value that asks the dialer of Open for a polling
// connection.
type pollingKey struct{}

// pollingDialer returns a dialer that dials with another one and asks it for a polling
// connection. A dialer that was not made by Open ignores the request. Then its connection is
// made polling here, except one with TLS, which has its socket inside and stays as it is.
func pollingDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(context.WithValue(ctx, pollingKey{}, true), network, addr)
		if err != nil {
			return nil, err
		}
		return polling(conn), nil
	}
}

// dialer returns a dialer that dials like the client's own. It makes the connection polling if the
// context asks for it, and otherwise passes it to wrap. config is nil for a server without TLS; with
// TLS all this is done to the connection below TLS.
func dialer(timeout time.Duration, config *tls.Config, wrap func(net.Conn) net.Conn) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if timeout == 0 {
		timeout = 5 * time.Second // the client's default
	}
	plain := redis.NewDialer(&redis.Options{DialTimeout: timeout})
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := plain(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if ctx.Value(pollingKey{}) == nil {
			conn = wrap(conn)
		} else {
			conn = polling(conn)
		}
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
