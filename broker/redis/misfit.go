package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// This file recognizes servers that can't work with the URL, the options or the client that
// they are used with: the wrong password, a missing right, no TLS, a cluster node behind a
// client for one server, an HTTP server. It turns the cryptic reply into an error with the
// remedy.
//
// Trying again does not help against such a mistake, so the error wraps broker.ErrInvalid,
// and a minion's Run ends with it. It is different if the same operation has succeeded
// before. Then the server did fit, and was changed since: a password is being replaced, or a
// replica that has taken over lacks the users of its master. An operator will correct that,
// and programs should keep running until then, so the error wraps broker.ErrUnavailable.
//
// Most mistakes are recognized by a reply. A server with TLS, or without it, may say nothing
// at all to the wrong client: recognize dials it once more and looks at the first bytes.

// misfit is one kind of mismatch between a server and how it is used.
type misfit struct {
	says    string // what is wrong with the server, and the remedy; its address stands before
	refused bool   // the server refuses the request before it does anything
	byEach  bool   // the server may refuse one operation and allow others
	inside  bool   // a command of a script was refused, and the commands before it were executed
}

// had reports whether the server fitted before: whether this operation has succeeded if
// each can be refused by itself, else whether any operation has.
func (m *misfit) had(t *trials, what string) bool {
	if m.byEach {
		return t.has(what)
	}
	return t.any()
}

const (
	saysRights = "does not let the user do this; the documentation of package redis has the rights that are needed"

	saysSentinelLogin = "are sentinels that refuse the user or the password, or ask for one; give theirs with sentinel_username and sentinel_password in the URL, or with SentinelLogin"

	saysHTTP  = "is an HTTP server; give the address of a Redis server"
	saysPlain = "does not speak TLS; use a URL without it, such as redis:// for rediss://, or the port of the server with TLS"
	saysTLS   = "speaks TLS; use a URL with it, such as rediss:// for redis://, or the port of the server without TLS"
)

// misfits are the error replies that tell of a misfit, by how they begin. The first one
// that matches counts.
var misfits = []struct {
	code string
	misfit
}{
	{"WRONGPASS", misfit{says: "refuses the user or the password; check those of the URL or of Login"}},
	{"ERR AUTH", misfit{says: "refuses the user or the password; check those of the URL or of Login"}},
	{"ERR Client sent AUTH", misfit{says: "has no password; leave it out of the URL and of Login"}},
	{"ERR invalid password", misfit{says: "refuses the password; check that of the URL or of Login"}},
	{"ERR bad lua script for redis cluster", misfit{says: "is a proxy that reads the text of scripts and refuses these; set its parameter script_check_enable to 0", byEach: true}},
	{"NOAUTH", misfit{says: "asks for a password; give it in the URL or with Login"}},
	{"NOPERM", misfit{says: saysRights, byEach: true}},
	{"ERR The user executing the script can't", misfit{says: saysRights, byEach: true, inside: true}}, // run, access or publish
	{"ERR ACL failure in script", misfit{says: saysRights, byEach: true, inside: true}},
	{"ERR DB index is out of range", misfit{says: "has no such database; give the number of another one, or raise databases in its configuration"}},
	{"ERR SELECT is not allowed in cluster mode", misfit{says: "is a node of a cluster, which has no databases; use redis+cluster:// and no database"}},
	{"ERR This instance has cluster support disabled", misfit{says: "is no cluster; use redis://, or redis+sentinel:// with its sentinels"}},
	{"ERR unknown command 'sentinel'", misfit{says: "is no Sentinel; give the addresses of sentinels, or use redis://"}},
	{"ERR unknown command", misfit{says: "lacks a command; want Redis 6.2 or newer, or Valkey, without renamed commands", byEach: true}},
}

// ofCluster are the replies by which a cluster node can be told when the client is one for
// a single server.
var ofCluster = []string{"MOVED", "ASK", "CROSSSLOT"}

const saysCluster = "is a node of a cluster; use redis+cluster://, or New with a *redis.ClusterClient"

// misfit returns the misfit that an error of the client tells of, or nil if it tells of
// something else.
func (b *Broker) misfit(err error) *misfit {
	if strings.Contains(err.Error(), "all sentinels specified") {
		for _, code := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH"} {
			if strings.Contains(err.Error(), code) {
				return &misfit{says: saysSentinelLogin, refused: true}
			}
		}
	}
	for i := range misfits {
		if replied(err, misfits[i].code) {
			m := misfits[i].misfit
			m.refused = !m.inside
			return &m
		}
	}
	if _, single := b.rdb.(*redis.Client); single {
		for _, code := range ofCluster {
			if replied(err, code) {
				return &misfit{says: saysCluster, refused: true, byEach: true}
			}
		}
	}
	var notTLS tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var bad x509.CertificateInvalidError
	text := err.Error()
	switch {
	case strings.Contains(text, `"HTTP/`) || errors.As(err, &notTLS) && string(notTLS.RecordHeader[:]) == "HTTP/":
		return &misfit{says: saysHTTP}
	case errors.As(err, &notTLS):
		return &misfit{says: saysPlain}
	case errors.As(err, &unverified) || errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &bad):
		return &misfit{says: "has a certificate that does not verify; give its authority with TLS, and the name for which it was issued", refused: true}
	case strings.Contains(text, "remote error: tls:"):
		return &misfit{says: "refuses the TLS handshake; give a client certificate with TLS if it wants one"}
	case strings.Contains(text, "all sentinels specified") && errors.Is(err, redis.Nil):
		return &misfit{says: "are sentinels that do not know the master; check its name in the URL"}
	case strings.Contains(text, "redis: can't parse"):
		return &misfit{says: "does not speak the protocol of Redis; check the address"}
	}
	return nil
}

// recognizeAfter is how long the first answer may take before Open calls recognize. A
// server without TLS sends no answer to a TLS handshake: it takes the handshake for the
// beginning of a command, and waits for the rest.
const recognizeAfter = 300 * time.Millisecond

// recognize finds out which kind of server listens at an address, after the client has met
// only a lost or silent connection. It returns the text for the field
// says of a misfit, or "" if nothing was recognized.
func recognize(ctx context.Context, addr string, withTLS bool) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	first, err := answer(ctx, addr)
	switch {
	case strings.HasPrefix(first, "HTTP/"):
		return saysHTTP
	case withTLS && (strings.HasPrefix(first, "+") || strings.HasPrefix(first, "-")):
		return saysPlain
	case withTLS || err != nil || strings.HasPrefix(first, "+") || strings.HasPrefix(first, "-"):
		return ""
	}
	// The server closed the connection, as one with TLS does if the client uses none. The
	// certificate need not be verified, since nothing is sent on this connection.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	if err == nil || strings.Contains(err.Error(), "remote error: tls:") {
		return saysTLS
	}
	return ""
}

// answer sends a PING without TLS and returns the first bytes of the reply, "" if the
// server closes the connection. It returns an error only if the dial fails.
func answer(ctx context.Context, addr string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_, _ = conn.Write([]byte("PING\r\n\r\n"))
	first := make([]byte, 16)
	n, _ := conn.Read(first)
	return string(first[:n]), nil
}
