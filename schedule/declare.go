package schedule

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// Reconcile makes the stored schedules of a set equal to the definitions: it stores those that are new or differ, and removes the
// schedules of the set that are not among them. [Scheduler.Run] does it for those given with [Declared]. A schedule that is equal stays as it is,
// also if it is paused.
//
// The name of a set is 1 to 128 of A-Z a-z 0-9 _ . and -, such as the name of the program. Schedules of other sets, and those that
// were stored with [Scheduler.Put], are left alone: if a definition has the name of one, the error wraps [task.ErrDuplicate].
//
// Two builds of a program that declare different schedules replace those of each other when they start. So the build that starts last
// decides.
func (s *Scheduler) Reconcile(ctx context.Context, set string, defs ...Definition) error {
	if err := checkSet(set, defs); err != nil {
		return err
	}
	all, err := s.all(ctx)
	if err != nil {
		return err
	}
	declared := make(map[string]bool)
	for i := range defs {
		declared[defs[i].Name] = true
	}
	for i := range all {
		x, err := readRecord(&all[i])
		if err != nil {
			if declared[all[i].Name] && !errors.Is(err, broker.ErrVersion) {
				return fmt.Errorf("%w; delete it first", err)
			}
			continue // of another program
		}
		if declared[x.name] && x.Set != set {
			return fmt.Errorf("schedule %s: %w: it is stored already, and belongs to %s; delete it, or declare one of another name", x.name, broker.ErrDuplicate, setName(x.Set))
		}
	}
	for i := range defs {
		if err := s.put(ctx, &defs[i], &set); err != nil {
			return err
		}
	}
	for i := range all {
		x, err := readRecord(&all[i])
		if err != nil || x.Set != set || declared[x.name] {
			continue
		}
		if err := s.remove(ctx, x.name, func(x *stored) bool { return x.Set == set }); err != nil {
			return err
		}
	}
	return nil
}

func setName(set string) string {
	if set == "" {
		return "no set of declarations"
	}
	return "the set " + set
}

// checkSet checks the definitions of a set.
func checkSet(set string, defs []Definition) error {
	if err := broker.CheckName("set", set); err != nil {
		return fmt.Errorf("schedules: %w", err)
	}
	names := make(map[string]bool)
	for i := range defs {
		if err := defs[i].Check(); err != nil {
			return err
		}
		if names[defs[i].Name] {
			return fmt.Errorf("schedule %s: %w: it is declared twice", defs[i].Name, broker.ErrInvalid)
		}
		names[defs[i].Name] = true
	}
	return nil
}
