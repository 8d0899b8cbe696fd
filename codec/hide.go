package codec

import (
	"fmt"
	"slices"
)

// Hidden is something about a task that can be read in the broker or in logs, beside its
// arguments and result, and that [Hide] hides.
type Hidden uint8

// What can be hidden.
const (
	// Errors are those of handlers, in outcomes, dead letters and last failures: type,
	// message, stack and chain. They are stored within the seal. An arbiter with the
	// codec sees them as ever.
	Errors Hidden = 1 << iota
	// UniqueKeys are stored as a keyed hash, which finds duplicates as well. The scope
	// and the name of the task can still be read. All who send must have the same
	// oldest key.
	UniqueKeys
	// Metadata is stored within a seal. An arbiter with the codec sees it as ever, and
	// handlers do.
	Metadata
	// Logs: minions log neither the messages and stacks of errors, but their types, nor
	// what the processes of isolated tasks print.
	Logs

	allHidden = Errors | UniqueKeys | Metadata | Logs
)

// Hide returns a codec that seals as c does and says to arbiters and minions that they
// shall hide more than arguments and results; without further arguments, all that can be
// hidden. Give the same to all of them. The error says that c does not seal, or
// that it is one of [Sign], which can hide unique keys and logs alone.
func Hide(c Codec, what ...Hidden) (Codec, error) {
	s, ok := c.(Sealer)
	if !ok {
		if err := Check(c); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("codec %s: Hide is for one that signs or encrypts", c.Name())
	}
	hides := Hidden(0)
	for _, h := range what {
		if h == 0 || h&^allHidden != 0 {
			return nil, fmt.Errorf("codec %s: Hide(%d): there is no such thing to hide", c.Name(), h)
		}
		hides |= h
	}
	if len(what) == 0 {
		hides = allHidden
	}
	if own, ok := s.(*sealed); ok && !own.secret && hides&(Errors|Metadata) != 0 {
		return nil, fmt.Errorf("codec %s: a signature hides neither errors nor metadata; use Encrypt, or hide UniqueKeys and Logs alone", c.Name())
	}
	return hiding{s, hides}, nil
}

// Hides reports whether a codec says that something shall be hidden.
func Hides(c Codec, what Hidden) bool {
	h, ok := c.(interface{ Hides(what Hidden) bool })
	return ok && h.Hides(what)
}

// AnyHides reports whether one of the codecs says that something shall be hidden.
func AnyHides(codecs []Codec, what Hidden) bool {
	return slices.ContainsFunc(codecs, func(c Codec) bool { return Hides(c, what) })
}

type hiding struct {
	Sealer
	what Hidden
}

// Hides reports whether what is hidden. A codec of your own may have the method.
func (h hiding) Hides(what Hidden) bool { return h.what&what != 0 || Hides(h.Sealer, what) }
