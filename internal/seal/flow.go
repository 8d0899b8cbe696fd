package seal

import (
	"fmt"
	"strings"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Flow seals the record of a group or pipe, whose members are known.
func Flow(s codec.Sealer, f *broker.Flow, members []broker.ID) error {
	data, err := sealed(s, nil, flow(f, members))
	if err != nil {
		return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	f.Seal = s.Name() + "\x00" + string(data)
	return nil
}

// Seals reports whether anything about a flow has to be opened: somebody has sealed it, or
// the codecs accept nothing that is not.
func Seals(f *broker.Flow, codecs []codec.Codec) bool {
	return First(codecs) != nil && (f.Seal != "" || !AcceptsPlain(codecs))
}

// CodecOf returns the name of the codec with which a flow was sealed; it is empty if it
// was not.
func CodecOf(f *broker.Flow) string {
	name, _, _ := strings.Cut(f.Seal, "\x00")
	return name
}

// OpenFlow checks that who has the key has made a flow of these members, and returns the
// codec. It is nil, without an error, if the flow is not sealed and need not be.
func OpenFlow(codecs []codec.Codec, f *broker.Flow, members []broker.ID) (codec.Sealer, error) {
	if !Seals(f, codecs) {
		return nil, nil
	}
	name, data, _ := strings.Cut(f.Seal, "\x00")
	if f.Seal == "" {
		return nil, fmt.Errorf("%w: it was not sent with a codec that signs or encrypts; send it with %q, or accept what is not sealed, "+
			"such as %q, by the option Codecs, too", errNoSeal("the record of the group or pipe"), First(codecs).Name(), codec.Msgpack().Name())
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
