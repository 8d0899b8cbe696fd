// Package redisproxy is a proxy between clients and a Redis server. It breaks connections at chosen
// commands. It reads just enough of the protocol to know where commands and replies end.
//
//	p := redisproxy.Start(t, server.Addr)
//	f := p.Inject(redisproxy.Fault{Match: redisproxy.Script("settle"), Do: redisproxy.CutAfter})
//	… redis.Open(ctx, p.URL()) …
//	<-f.Done()
//
// A fault strikes one command, even if several commands share a packet. Earlier commands are
// carried out and answered, and later ones are not sent. [Proxy.Cut], [Proxy.Refuse],
// [Proxy.Freeze] and [Proxy.Slow] affect all connections.
package redisproxy
