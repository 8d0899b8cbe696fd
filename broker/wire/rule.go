package wire

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The rule of a unique key is all of [broker.Unique] but the key: an array that may only grow.
// Zero fields at its end are left out.

// hasRule reports whether the rule of a unique key is not zero.
func hasRule(u *broker.Unique) bool {
	return u.UntilStart || u.OnConflict != broker.ConflictRefuse || u.For != 0 || u.MaxAge != 0
}

// The fields of a rule, in their order on the wire.
const (
	ruleUntilStart = iota
	ruleConflict
	ruleFor
	ruleMaxAge
)

func appendRule(dst []byte, u *broker.Unique) []byte {
	n := ruleUntilStart + 1
	switch {
	case u.MaxAge != 0:
		n = ruleMaxAge + 1
	case u.For != 0:
		n = ruleFor + 1
	case u.OnConflict != broker.ConflictRefuse:
		n = ruleConflict + 1
	}
	dst = msgp.AppendArrayHead(dst, n)
	dst = msgp.AppendBool(dst, u.UntilStart)
	if n > ruleConflict {
		dst = msgp.AppendUint(dst, uint64(u.OnConflict))
	}
	if n > ruleFor {
		dst = msgp.AppendUint(dst, RuleMillis(u.For))
	}
	if n > ruleMaxAge {
		dst = msgp.AppendUint(dst, RuleMillis(u.MaxAge))
	}
	return dst
}

// RuleMillis returns a time of a rule in whole milliseconds, as it is stored. It is rounded up,
// since 0 has another meaning.
func RuleMillis(d time.Duration) uint64 {
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}

// takeRule reads a rule into u.
func takeRule(u *broker.Unique, in []byte) (rest []byte, err error) {
	n, rest, _, err := takeArray(in)
	rule := broker.Unique{Key: u.Key}
	for i := 0; i < n && err == nil; i++ {
		var number int64
		switch i {
		case ruleUntilStart:
			rule.UntilStart, rest, err = takeBool(rest)
		case ruleConflict:
			number, rest, err = takeInt(rest)
			rule.OnConflict = broker.Conflict(min(uint64(number), 255))
		case ruleFor:
			number, rest, err = takeInt(rest)
			rule.For = time.Duration(number) * time.Millisecond
		case ruleMaxAge:
			number, rest, err = takeInt(rest)
			rule.MaxAge = time.Duration(number) * time.Millisecond
		default:
			rest, err = msgp.Skip(rest, 2)
		}
	}
	if err != nil {
		return nil, err
	}
	*u = rule
	return rest, nil
}
