package arbiter

import (
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Option changes an arbiter; see [New]. Of an option that is given twice the later one
// counts, unless it says otherwise.
type Option interface {
	apply(*config)
}

type config struct {
	codec  codec.Codec
	codecs []codec.Codec
	log    *slog.Logger

	checkSchema bool

	err error
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w option: %s", broker.ErrInvalid, fmt.Sprintf(format, args...))
	}
}

// Codec encodes arguments and events with c. The default is [codec.Default]: the
// first of [Codecs] that signs or encrypts, else [codec.Msgpack].
// Results come back in the codec of the task's arguments.
func Codec(c codec.Codec) Option {
	return optionFunc(func(cfg *config) {
		if c == nil {
			cfg.fail("Codec(nil)")
			return
		}
		if err := codec.Check(c); err != nil {
			cfg.fail("Codec: %v", err)
			return
		}
		cfg.codec = c
	})
}

// Codecs adds codecs that results and events of others may be encoded with. That
// of [Codec] is always understood, and so are the built in ones; but where one of
// all these signs or encrypts, only those that are named here or there. What is
// encoded with another one is an error when it is decoded.
func Codecs(more ...codec.Codec) Option {
	return optionFunc(func(cfg *config) {
		for i, c := range more {
			if err := codec.Check(c); err != nil {
				cfg.fail("Codecs: number %d: %v", i+1, err)
				return
			}
		}
		cfg.codecs = append(cfg.codecs, more...)
	})
}

// Logger is told of a broker that is out of reach (warn) and back (info); and of
// tasks that somebody has awaited for five seconds while no living minion served
// their queue, or knew them (warn), in one line for each queue, which is repeated
// once a minute as long as it is so. The default is [slog.Default].
func Logger(l *slog.Logger) Option {
	return optionFunc(func(cfg *config) {
		if l == nil {
			cfg.fail("Logger(nil)")
			return
		}
		cfg.log = l
	})
}
