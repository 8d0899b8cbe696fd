package redis_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// Each option has a test of its effect. The tests of TLS and Login are in internal/testing/e2e.
func TestOptionsHaveTests(t *testing.T) {
	err := optionlist.Check(".", map[string]string{
		"Namespace": "TestRoundTrip", "Lease": "TestConformanceMiniredis", "Limits": "TestConformanceMiniredis",
		"Partitions": "TestPartitions", "Logger": "TestLoggerHears", "TLS": "TestNewRefusesOptionsOfOpen", "Login": "TestNewRefusesOptionsOfOpen",
		"SentinelLogin": "TestSentinelLogin",
	})
	if err != nil {
		t.Error(err)
	}
}

// New refuses options about connections, since its client is already configured.
func TestNewRefusesOptionsOfOpen(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = client.Close() }()
	for name, option := range map[string]redis.Option{
		"TLS":           redis.TLS(&tls.Config{MinVersion: tls.VersionTLS12}),
		"Login":         redis.Login("user", "secret"),
		"SentinelLogin": redis.SentinelLogin("user", "secret"),
		"Logger(nil)":   redis.Logger(nil),
		"Limits":        redis.Limits(broker.Limits{Result: -1}),
	} {
		_, err := redis.New(client, option)
		if !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want ErrInvalid that names it", name, err)
		}
	}
}

// Open of a server that may evict keys logs a warning to the Logger.
func TestLoggerHears(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return
	}
	var heard bytes.Buffer
	b, err := redis.Open(t.Context(), redistest.Start(t, path, "--maxmemory-policy", "allkeys-lru").URL(),
		redis.Logger(slog.New(slog.NewTextHandler(&heard, nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if got := heard.String(); !strings.Contains(got, "maxmemory_policy=allkeys-lru") {
		t.Errorf("the log is %q, want the warning about maxmemory-policy", got)
	}
}
