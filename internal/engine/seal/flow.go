package seal

import (
	"fmt"
	"strings"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Flow seals the record of a group or pipe with the members.
func Flow(s codec.Sealer, f *broker.Flow, members []broker.ID) error {
	data, err := sealed(s, nil, flow(f, members))
	if err != nil {
		return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	f.Seal = s.Name() + "\x00" + string(data)
	return nil
}

// Seals reports whether the seal of a flow must be checked: the flow is sealed, or the codecs
// accept nothing without a seal.
func Seals(f *broker.Flow, codecs []codec.Codec) bool {
	return First(codecs) != nil && (f.Seal != "" || !AcceptsPlain(codecs))
}

// CodecOf returns the name of the codec that has sealed a flow, empty if it is not sealed.
func CodecOf(f *broker.Flow) string {
	name, _, _ := strings.Cut(f.Seal, "\x00")
	return name
}

// OpenFlow checks the seal of a flow with the members, and returns the codec that made it. It
// returns nil without an error if the flow is not sealed and need not be.
func OpenFlow(codecs []codec.Codec, f *broker.Flow, members []broker.ID) (codec.Sealer, error) {
	if !Seals(f, codecs) {
		return nil, nil
	}
	name, data, _ := strings.Cut(f.Seal, "\x00")
	if f.Seal == "" {
		return nil, fmt.Errorf("%w: it was sent with a codec that neither signs nor encrypts; send it with %q, or accept a codec without a seal, "+
			"such as %q, with the option Codecs, too", errNoSeal("the record of the group or pipe"), First(codecs).Name(), codec.Msgpack().Name())
	}
	c, err := codec.ByName(name, codecs...)
	if err != nil {
		return nil, err
	}
	s := Of(c)
	if s == nil {
		return nil, fmt.Errorf("%w: %w", codec.ErrForged, errNotSealer)
	}
	if _, err := opened(s, []byte(data), flow(f, members)); err != nil {
		return nil, fmt.Errorf("the record of the group or pipe: %w", err)
	}
	return s, nil
}
