package main

import (
	"io"
	stdlog "log"
	"log/slog"

	machinerylog "github.com/RichardKnop/machinery/v2/log"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/vmihailenco/taskq/v3"
)

// quiet silences the loggers of all systems, because writing to a terminal is not part of the work.
func quiet() {
	none := stdlog.New(io.Discard, "", 0)
	machinerylog.Set(none)
	taskq.SetLogger(none)
	redis.SetLogger(&logging.VoidLogger{})
	slog.SetDefault(slog.New(slog.DiscardHandler))
}
