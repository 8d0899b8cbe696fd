package broker

import "fmt"

// UnsupportedError is the error for a broker that lacks an optional capability. It wraps
// [ErrUnsupported].
type UnsupportedError struct {
	What       string // the feature that was asked for, such as "a group"
	Capability string // the interface of this package: "Flows", "Squads", "Parker", "Lanes", "Pauser", "Bounder", "Uniques", "Documents", "Reports" or "Inspector"
	Broker     string // the Go type of the broker
}

// Error names the feature, the missing capability and the remedy.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s needs broker.%s, which this broker (%s) does not implement: "+
		"use one that does, such as broker/redis or broker/memory", e.What, e.Capability, e.Broker)
}

// Unwrap returns [ErrUnsupported].
func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

// FlowsOf returns the broker as a [Flows]. If it has none the error is an
// [*UnsupportedError] with that What, such as "a group".
func FlowsOf(b Broker, what string) (Flows, error) { return capability[Flows](b, what, "Flows") }

// SquadsOf returns the broker as a [Squads], or an error as [FlowsOf] does.
func SquadsOf(b Broker, what string) (Squads, error) { return capability[Squads](b, what, "Squads") }

// InspectorOf returns the broker as an [Inspector], or an error as [FlowsOf] does.
func InspectorOf(b Broker, what string) (Inspector, error) {
	return capability[Inspector](b, what, "Inspector")
}

// ParkerOf returns the broker as a [Parker], or an error as [FlowsOf] does.
func ParkerOf(b Broker, what string) (Parker, error) { return capability[Parker](b, what, "Parker") }

func capability[T any](b Broker, what, name string) (T, error) {
	c, ok := b.(T)
	if !ok {
		return c, &UnsupportedError{What: what, Capability: name, Broker: fmt.Sprintf("%T", b)}
	}
	return c, nil
}

// CheckTask calls [Task.Check] with the limits of the broker. It also refuses a task that
// needs a missing capability: a blocked task without [Flows], a member of a squad without
// [Squads], a task with a Lane without [Lanes], and a rule for a unique key without [Uniques].
// A broker that has them all may call [Task.Check] instead.
func CheckTask(b Broker, t *Task) error {
	if err := t.Check(b.Limits()); err != nil {
		return err
	}
	var err error
	switch {
	case t.Flow.Squad:
		_, err = SquadsOf(b, "a task with Flow.Squad set")
	case t.Flow.Blocked:
		_, err = FlowsOf(b, "a task with Flow.Blocked set")
	case t.Lane != nil:
		_, err = LanesOf(b, "a task with a Lane")
	}
	if err == nil && !t.Unique.plain() {
		_, err = UniquesOf(b, "a unique key with For, UntilStart or OnConflict set")
	}
	if err != nil {
		return fmt.Errorf("task %s: %w", t.Name, err)
	}
	return nil
}

// CheckSettlement calls [Settlement.Check] with the limits of the broker. It also refuses a
// settlement that needs a missing capability: Submit without [Flows], and VerbPark without
// [Parker]. A broker that has both may call [Settlement.Check] instead.
func CheckSettlement(b Broker, s *Settlement) error {
	if err := s.Check(b.Limits()); err != nil {
		return err
	}
	var err error
	switch {
	case len(s.Submit) > 0:
		_, err = FlowsOf(b, "a settlement with Submit set")
	case s.Verb == VerbPark:
		_, err = ParkerOf(b, "a settlement with VerbPark")
	}
	if err != nil {
		return fmt.Errorf("task %s: %w", s.Delivery.Name, err)
	}
	return nil
}
