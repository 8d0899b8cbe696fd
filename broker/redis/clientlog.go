package redis

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// clientLog is the logger of the client library, of which there is one in a process:
// it writes to stderr unless it is replaced. A line does not say which client it is
// about, so it goes to the loggers of all open brokers.
type clientLog struct {
	set sync.Once

	mu      sync.Mutex
	loggers []*slog.Logger // one for each open broker, so that some can be there twice
}

var ofClient clientLog

// forwardLog sends what the client library logs to l too, until it is told to end.
func forwardLog(l *slog.Logger) (end func()) {
	c := &ofClient
	c.set.Do(func() { redis.SetLogger(c) })
	c.mu.Lock()
	c.loggers = append(c.loggers, l)
	c.mu.Unlock()
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.Index(c.loggers, l); i >= 0 {
			c.loggers = slices.Delete(c.loggers, i, i+1)
		}
	})
}

// Printf implements the interface of the client library.
func (c *clientLog) Printf(ctx context.Context, format string, v ...any) {
	c.mu.Lock()
	loggers := slices.Clone(c.loggers)
	c.mu.Unlock()
	if len(loggers) == 0 {
		loggers = append(loggers, slog.Default())
	}
	for i, l := range loggers {
		if !slices.Contains(loggers[:i], l) && l.Enabled(ctx, slog.LevelDebug) {
			l.DebugContext(ctx, "redis: go-redis says", "text", fmt.Sprintf(format, v...))
		}
	}
}
