package client

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// checkLane returns an error if a task has a lane and the broker has no [broker.Lanes]. The error
// names one of the options that gave the task its lane.
func (c *Client) checkLane(t *broker.Task) error {
	if t.Lane == nil {
		return nil
	}
	if _, err := broker.LanesOf(c.b, laneOption(t.Lane)); err != nil {
		return fmt.Errorf("task %s: %w", t.Name, err)
	}
	return nil
}

// laneOption returns the name of an option that results in the lane.
func laneOption(l *broker.Lane) string {
	switch {
	case len(l.Limits) > 0:
		return "task.Limit"
	case l.Sequence != "":
		return "task.Sequence"
	case l.Key != "":
		return "task.FairKey"
	}
	return "task.Priority"
}
