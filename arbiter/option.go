package arbiter

import (
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Option changes an arbiter; see [New]. If an option is given twice, the later one counts, unless its documentation says
// otherwise.
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

// Codec encodes arguments and events with c. The default is [codec.Default]: the first of [Codecs] that signs or encrypts,
// or else [codec.Msgpack]. Minions encode a result with the codec of the task's arguments.
func Codec(c codec.Codec) Option {
	return optionFunc(func(cfg *config) {
		if c == nil {
			cfg.fail("Codec(nil), want a codec; leave the option out for codec.Default")
			return
		}
		if err := codec.Check(c); err != nil {
			cfg.fail("Codec: %v", err)
			return
		}
		cfg.codec = c
	})
}

// Codecs adds codecs to decode results and events of other processes with. The codec of [Codec] is always among them, and so
// are the built-in codecs, unless one of all these codecs signs or encrypts: then only codecs that are named in Codec and
// Codecs are accepted. Decoding a result or event with another codec is an error. Several Codecs are added up.
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

// Logger sets the logger. The arbiter logs when the broker can't be reached (warn) and when it is back (info). It also logs
// (warn) tasks whose caller has waited for five seconds while no living minion serves their queue or knows them: one line for
// each queue, repeated once a minute as long as it lasts. The default is [slog.Default].
func Logger(l *slog.Logger) Option {
	return optionFunc(func(cfg *config) {
		if l == nil {
			cfg.fail("Logger(nil), want a logger; leave the option out for slog.Default")
			return
		}
		cfg.log = l
	})
}
