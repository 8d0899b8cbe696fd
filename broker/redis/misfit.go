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

// A server that does not fit its URL never will, so asking again is of no use: the
// error wraps broker.ErrInvalid, and a minion's Run ends with it. But what has worked
// before fits, and has been changed since: a password that is being replaced, a
// replica without the users of its master. That is for an operator to mend, and
// programs shall outlive it, so it is ErrUnavailable.

// misfit is a way in which a server does not fit what it was opened with.
type misfit struct {
	says    string // about the server, with the remedy
	refused bool   // the server says so before it does anything
	byEach  bool   // one operation may be refused, and others not
	inside  bool   // a script was refused a command, and may have done others
}

// had reports whether the operation worked before.
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

// misfits are replies that say so.
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

// ofCluster are replies of a node of a cluster to a client of one server.
var ofCluster = []string{"MOVED", "ASK", "CROSSSLOT"}

const saysCluster = "is a node of a cluster; use redis+cluster://, or New with a *redis.ClusterClient"

// misfit returns how the server does not fit, or nil if the error is about something
// else.
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

// recognizeAfter is how long the first answer may take before Open looks at what is
// there: a server without TLS waits for the rest of the handshake as if it were a
// command.
const recognizeAfter = 300 * time.Millisecond

// recognize finds out what listens at an address, where the client saw no more than
// a lost or silent connection. It returns what is wrong with that, or "".
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
	// It hung up, as a server does to a client without TLS. Nothing is sent, so it is
	// no matter who it is.
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

// answer returns the beginning of what a server says to a PING, and nothing if it
// hangs up. The error says that it can't be reached.
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
