// Package redisproxy stands between clients and a Redis server and breaks
// connections at the worst moment. It reads the protocol just far enough to
// know where a command and a reply end.
//
//	p := redisproxy.Start(t, server.Addr)
//	f := p.Inject(redisproxy.Fault{Match: redisproxy.Script("settle"), Do: redisproxy.CutAfter})
//	… redis.Open(ctx, p.URL()) …
//	<-f.Done()
//
// A fault strikes one command, however many share its packet: those before it
// are carried out and answered, those after it are not sent. [Proxy.Cut],
// [Proxy.Refuse], [Proxy.Freeze] and [Proxy.Slow] hit all connections.
package redisproxy
