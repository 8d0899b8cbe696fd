package redis

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// This file sends the log lines of the client library (go-redis) to the loggers of brokers.
// The library has one logger for the whole process, which writes to stderr unless it is
// replaced. A line does not tell which client it is about, so every line goes to the loggers of
// all open brokers, at level debug.

// clientLog is the logger that replaces the one of the client library.
type clientLog struct {
	set sync.Once

	mu      sync.Mutex
	loggers []*slog.Logger // one for each open broker; a logger that several brokers share is there several times
}

var ofClient clientLog

// forwardLog sends the log lines of the client library to l as well, until end is called.
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

// Printf implements the logger interface of the client library.
//
// Without open brokers the lines go to the default logger. A logger that several brokers share gets
// each line once.
func (c *clientLog) Printf(ctx context.Context, format string, v ...any) {
	c.mu.Lock()
	loggers := slices.Clone(c.loggers)
	c.mu.Unlock()
	if len(loggers) == 0 {
		loggers = append(loggers, slog.Default())
	}
	for i, l := range loggers {
		if !slices.Contains(loggers[:i], l) && l.Enabled(ctx, slog.LevelDebug) {
			l.DebugContext(ctx, "redis: message of go-redis", "text", fmt.Sprintf(format, v...))
		}
	}
}
