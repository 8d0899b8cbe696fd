package codec

import (
	"fmt"
	"slices"
)

// Hidden is a set of things beside arguments and results that [Hide] hides, as bits. Without Hide they
// can be read in the broker or in logs.
type Hidden uint8

// The things that Hide can hide.
const (
	// Errors are the errors of handlers in outcomes, dead letters and last failures: type,
	// message, stack and chain. They are stored encrypted. An arbiter with the codec decrypts
	// them.
	Errors Hidden = 1 << iota
	// UniqueKeys are stored as a keyed hash, with which duplicates are still found. The scope and
	// the name of the task can still be read. All processes that send tasks must make their
	// fingerprints with the same key; see [FingerprintWith].
	UniqueKeys
	// Metadata is stored encrypted. Arbiters with the codec and handlers see it decrypted.
	Metadata
	// Logs: minions log only the types of errors, without messages and stacks. They do not log the
	// output of the processes of isolated tasks.
	Logs

	allHidden = Errors | UniqueKeys | Metadata | Logs
)

// Hide returns a codec that seals as c does, and tells arbiters and minions to hide more than arguments
// and results: the things in what, or everything that can be hidden if what is empty. Give the same codec
// to all arbiters and minions. It returns an error if c does not sign or encrypt, and if c only signs and
// what asks for more than UniqueKeys and Logs, or is empty.
func Hide(c Codec, what ...Hidden) (Codec, error) {
	s, ok := c.(Sealer)
	if !ok {
		if err := Check(c); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("codec %s: Hide needs a codec that signs or encrypts", c.Name())
	}
	hides := Hidden(0)
	for _, h := range what {
		if h == 0 || h&^allHidden != 0 {
			return nil, fmt.Errorf("codec %s: Hide(%d): not a value of Hidden", c.Name(), h)
		}
		hides |= h
	}
	if len(what) == 0 {
		hides = allHidden
	}
	if own, ok := s.(*sealed); ok && !own.secret && hides&(Errors|Metadata) != 0 {
		return nil, fmt.Errorf("codec %s: a signature hides neither errors nor metadata; use Encrypt, or hide only UniqueKeys and Logs", c.Name())
	}
	return hiding{s, hides}, nil
}

// Hides reports whether codec c asks to hide at least one of the things in what.
func Hides(c Codec, what Hidden) bool {
	h, ok := c.(interface{ Hides(what Hidden) bool })
	return ok && h.Hides(what)
}

// AnyHides reports whether Hides is true for one of the codecs.
func AnyHides(codecs []Codec, what Hidden) bool {
	return slices.ContainsFunc(codecs, func(c Codec) bool { return Hides(c, what) })
}

type hiding struct {
	Sealer
	what Hidden
}

// Hides reports whether one of the things in what is hidden. A codec of your own can have this method.
func (h hiding) Hides(what Hidden) bool { return h.what&what != 0 || Hides(h.Sealer, what) }
