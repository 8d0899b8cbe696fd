package request

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// Unique are the settings that concern the unique key of a call.
type Unique struct {
	Key        string        // Unique; default none
	Scope      string        // UniqueIn; default "": the name of the task
	ByArgs     bool          // UniqueArgs; default false
	Params     []string      // the parameters of UniqueArgs; none is all
	For        time.Duration // UniqueFor; default 0
	UntilStart bool          // UniqueUntilStart; default false
	OnConflict Conflict      // OnConflict; default ConflictRefuse
	MaxAge     time.Duration // ConflictMaxAge; default 0: none
}

// Conflict is what becomes of a call whose unique key another task has. Package task has the same
// constants.
type Conflict uint8

// The conflicts.
const (
	ConflictRefuse  = Conflict(broker.ConflictRefuse)
	ConflictReplace = Conflict(broker.ConflictReplace)
	ConflictLatest  = Conflict(broker.ConflictLatest)
	ConflictCancel  = Conflict(broker.ConflictCancel)
	ConflictJoin    = Conflict(broker.MaxConflict + 1) // for the broker it is ConflictRefuse
)

// keyed reports whether a call with the settings has a unique key.
func (u *Unique) keyed() bool { return u.Key != "" || u.ByArgs }

// check returns the reason why a call with the settings can't be sent.
func (u *Unique) check() error {
	var option string
	switch {
	case u.MaxAge != 0:
		option = "ConflictMaxAge"
	case u.OnConflict != ConflictRefuse:
		option = "OnConflict"
	case u.For != 0:
		option = "UniqueFor"
	case u.UntilStart:
		option = "UniqueUntilStart"
	default:
		return nil
	}
	switch {
	case !u.keyed():
		return fmt.Errorf("%w option: %s without a unique key: give the call one with Unique, UniqueIn or UniqueArgs", broker.ErrInvalid, option)
	case u.MaxAge != 0 && u.OnConflict != ConflictReplace && !broker.Conflict(u.OnConflict).Waits():
		return fmt.Errorf("%w option: ConflictMaxAge(%v) without OnConflict(ConflictReplace), OnConflict(ConflictLatest) or OnConflict(ConflictCancel): no holder is replaced", broker.ErrInvalid, u.MaxAge)
	}
	return nil
}

// record returns the unique key of a task of that name. The key of ByArgs is missing in it.
func (u *Unique) record(name string) broker.Unique {
	r := broker.Unique{For: u.For, UntilStart: u.UntilStart, MaxAge: u.MaxAge}
	if u.Scope != "" {
		name = u.Scope
	}
	if u.Key != "" {
		r.Key = broker.ScopedKey(name, u.Key)
	}
	if u.OnConflict <= Conflict(broker.MaxConflict) {
		r.OnConflict = broker.Conflict(u.OnConflict)
	}
	return r
}

// argsKey returns the unique key that the arguments of the request give. It is computed once, since
// the caller may change the arguments after the request was sent. r.mu is locked.
func (r *Request) argsKey(c codec.Codec) (string, error) {
	if r.special.argsKey != "" {
		return r.special.argsKey, nil
	}
	var args any
	if r.args != nil {
		args = r.args.encodes()
	}
	values, err := codec.AppendParams(nil, args, r.settings.Unique.Params...)
	if err != nil {
		return "", fmt.Errorf("task %s: %w: UniqueArgs: %w", r.name, broker.ErrInvalid, err)
	}
	r.special.argsKey = broker.ScopedKey(r.name, seal.ArgsKey(seal.Of(c), r.name, values))
	return r.special.argsKey, nil
}

// inFlow returns the reason why a call of a pipe or group can't have the conflict, or nil.
func (c Conflict) inFlow() error {
	switch c {
	case ConflictJoin:
		return fmt.Errorf("%w option: OnConflict(ConflictJoin) in a group or pipe: it counts tasks of its own; use another conflict", broker.ErrInvalid)
	case ConflictLatest, ConflictCancel:
		name := map[Conflict]string{ConflictLatest: "ConflictLatest", ConflictCancel: "ConflictCancel"}[c]
		return fmt.Errorf("%w option: OnConflict(%s) in a group or pipe: a task of it can't wait behind another one; use another conflict", broker.ErrInvalid, name)
	}
	return nil
}

// checkMember marks a pipe or group as impossible to send if a part of it has a conflict that it
// can't have.
func (r *Request) checkMember(m *Request) {
	if m == nil {
		return
	}
	if err := m.settings.Unique.OnConflict.inFlow(); err != nil {
		r.fail(fmt.Errorf("%s: task %s: %w", r.name, m.name, err))
	}
}

// Join returns the task that has the unique key of a request, if err, the error of its submission,
// says that there is one and the request joins it. The reason is set if it can't be joined.
func (r *Request) Join(err error) (holder broker.ID, joins bool, reason error) {
	dup, ok := errors.AsType[*broker.DuplicateError](err)
	if r.settings.Unique.OnConflict != ConflictJoin || !ok || dup.Key == "" || errors.Is(err, broker.ErrIndeterminate) {
		return broker.ID{}, false, nil
	}
	if dup.Name != r.name {
		name := dup.Name
		if name == "" {
			name = "not known"
		}
		return broker.ID{}, false, fmt.Errorf("%w; it can't be joined, since its name is %s and not %s: "+
			"give the tasks different scopes, or use another conflict", err, name, r.name)
	}
	return dup.Holder, true, nil
}
