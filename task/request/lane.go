package request

import (
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Lane has the values of the options that say when a waiting task is handed out: Priority, FairKey, Sequence, Limit, and
// those that take a key from the arguments.
type Lane struct {
	Priority      uint8
	FairKey       LaneKey
	Sequence      LaneKey
	StopOnFailure bool
	Limits        []Charge // each has another name
}

// Charge is what one option Limit says: what the task uses of a limit.
type Charge struct {
	Limit string
	Key   LaneKey
	Cost  uint32
	// CostFrom makes the cost of the arguments of a call. If it is nil, Cost counts.
	CostFrom func(args any) (uint32, error)
}

// LaneKey is a key that an option gives, or that it makes of the arguments of each call.
type LaneKey struct {
	Value string // "" is none
	// From makes the key of the arguments of a call. If it is nil, Value counts.
	From func(args any) (string, error)
}

// clone returns a copy with a list of its own; nil for nil.
func (l *Lane) clone() *Lane {
	if l == nil {
		return nil
	}
	c := *l
	c.Limits = slices.Clone(l.Limits)
	return &c
}

// FromArgs reports whether a key or a cost depends on the arguments; see [Settings.ForArgs].
func (l *Lane) FromArgs() bool {
	return l != nil && (l.FairKey.From != nil || l.Sequence.From != nil ||
		slices.ContainsFunc(l.Limits, func(c Charge) bool { return c.Key.From != nil || c.CostFrom != nil }))
}

// fill gives a value to each key and cost that depends on the arguments.
func (l *Lane) fill(args any) (err error) {
	fill := func(k *LaneKey) {
		if k.From != nil && err == nil {
			k.Value, err = k.From(args)
			k.From = nil
		}
	}
	fill(&l.FairKey)
	fill(&l.Sequence)
	for i := range l.Limits {
		c := &l.Limits[i]
		fill(&c.Key)
		if c.CostFrom != nil && err == nil {
			c.Cost, err = c.CostFrom(args)
			c.CostFrom = nil
		}
	}
	return err
}

// record returns the lane as a broker stores it. It is nil for an ordinary task.
func (l *Lane) record() *broker.Lane {
	if l == nil || l.Priority == broker.DefaultPriority && l.FairKey.Value == "" && l.Sequence.Value == "" && len(l.Limits) == 0 {
		return nil
	}
	b := &broker.Lane{
		Priority: l.Priority, Key: l.FairKey.Value,
		Sequence: l.Sequence.Value, StopOnFailure: l.StopOnFailure && l.Sequence.Value != "",
	}
	if len(l.Limits) > 0 {
		b.Limits = make([]broker.Charge, len(l.Limits))
	}
	for i, c := range l.Limits {
		b.Limits[i] = broker.Charge{Limit: c.Limit, Key: c.Key.Value, Cost: c.Cost}
	}
	return b
}

// laneOf returns the options that result in a broker's lane; nil for nil.
func laneOf(b *broker.Lane) *Lane {
	if b == nil {
		return nil
	}
	l := &Lane{
		Priority: b.Priority, FairKey: LaneKey{Value: b.Key},
		Sequence: LaneKey{Value: b.Sequence}, StopOnFailure: b.StopOnFailure,
	}
	for _, c := range b.Limits {
		l.Limits = append(l.Limits, Charge{Limit: c.Limit, Key: LaneKey{Value: c.Key}, Cost: c.Cost})
	}
	return l
}

// ForArgs returns the settings for a call with these arguments: each key and cost of the Lane that depends on them has its
// value. If there is none, it returns s. An error of a key or cost is in Err.
func (s *Settings) ForArgs(args any) *Settings {
	if !s.Lane.FromArgs() {
		return s
	}
	c := s.Clone()
	if err := c.Lane.fill(args); err != nil && c.Err == nil {
		c.Err = fmt.Errorf("%w option: %w", broker.ErrInvalid, err)
	}
	return &c
}
