//go:build !unix

package redis

import "net"

// polling returns the connection as it is. This package has no way to poll a socket here, so
// on a machine with fully busy processors heartbeats may be noticed late.
func polling(conn net.Conn) net.Conn { return conn }
