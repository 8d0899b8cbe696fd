package broker

import "fmt"

// UnsupportedError says that a broker lacks an optional capability. It wraps
// [ErrUnsupported].
type UnsupportedError struct {
	What       string // what was asked for, such as "a group"
	Capability string // the interface of this package: "Flows", "Squads", "Parker" or "Inspector"
	Broker     string // the Go type of the broker
}

// Error names what was asked for, the capability and the remedy.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s needs broker.%s, which this broker (%s) does not implement: "+
		"use one that does, such as broker/redis or broker/memory", e.What, e.Capability, e.Broker)
}

// Unwrap returns [ErrUnsupported].
func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

// FlowsOf returns the broker as a [Flows]. The error is an [*UnsupportedError]
// whose What is what, a word for the error message such as "a group".
func FlowsOf(b Broker, what string) (Flows, error) { return capability[Flows](b, what, "Flows") }

// SquadsOf is [FlowsOf] for [Squads].
func SquadsOf(b Broker, what string) (Squads, error) { return capability[Squads](b, what, "Squads") }

// InspectorOf is [FlowsOf] for [Inspector].
func InspectorOf(b Broker, what string) (Inspector, error) {
	return capability[Inspector](b, what, "Inspector")
}

// ParkerOf is [FlowsOf] for [Parker].
func ParkerOf(b Broker, what string) (Parker, error) { return capability[Parker](b, what, "Parker") }

func capability[T any](b Broker, what, name string) (T, error) {
	c, ok := b.(T)
	if !ok {
		return c, &UnsupportedError{What: what, Capability: name, Broker: fmt.Sprintf("%T", b)}
	}
	return c, nil
}

// CheckTask is [Task.Check] with the limits of a broker, and refuses what the
// broker has no capability for: a blocked task without [Flows], and one of a squad
// without [Squads]. A broker that has both may call [Task.Check] instead.
func CheckTask(b Broker, t *Task) error {
	if err := t.Check(b.Limits()); err != nil {
		return err
	}
	var err error
	switch {
	case t.Squad:
		_, err = SquadsOf(b, "a task with Squad set")
	case t.Blocked:
		_, err = FlowsOf(b, "a task with Blocked set")
	}
	if err != nil {
		return fmt.Errorf("task %s: %w", t.Name, err)
	}
	return nil
}

// CheckSettlement is [Settlement.Check] with the limits of a broker, and refuses
// what the broker has no capability for: Submit without [Flows], VerbPark without
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
