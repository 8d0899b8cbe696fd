//go:build !unix

package redis

import "net"

// wakeful returns the connection as it is: there is no way to look for what has come.
func wakeful(conn net.Conn) net.Conn { return conn }
