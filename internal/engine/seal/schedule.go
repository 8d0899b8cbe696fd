package seal

import (
	"fmt"

	"github.com/go-arbiter/arbiter/codec"
)

// definition is for the definition of a schedule.
func definition(name string) associatedData { return direction("schedule").text(name) }

// Schedule seals the definition of the schedule name.
func Schedule(s codec.Sealer, name string, plain []byte) ([]byte, error) {
	return sealed(s, plain, definition(name))
}

// OpenSchedule opens the definition of the schedule name. sealer is the name of the codec that has sealed it, empty if it is not
// sealed.
func OpenSchedule(codecs []codec.Codec, sealer, name string, data []byte) ([]byte, error) {
	if sealer == "" {
		if !AcceptsPlain(codecs) {
			return nil, errNoSeal("the definition")
		}
		return data, nil
	}
	c, err := codec.ByName(sealer, codecs...)
	if err != nil {
		return nil, err
	}
	s := Of(c)
	if s == nil {
		return nil, fmt.Errorf("%w: %w", codec.ErrForged, errNotSealer)
	}
	return opened(s, data, definition(name))
}
