package broker_test

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// small is a broker without optional capabilities: embedding the interface hides the
// capabilities of the broker in it.
type small struct{ broker.Broker }

// A caller that needs a capability asks for it, and says for which feature.
func ExampleFlowsOf() {
	_, err := broker.FlowsOf(memory.New(), "a group")
	fmt.Println(err)
	_, err = broker.FlowsOf(small{memory.New()}, "a group")
	fmt.Println(err)
	fmt.Println(errors.Is(err, broker.ErrUnsupported))

	// Output:
	// <nil>
	// a group needs broker.Flows, which this broker (broker_test.small) does not implement: use one that does, such as broker/redis or broker/memory
	// true
}

// A broker checks each task with CheckTask, which knows the capabilities that the broker
// lacks.
func ExampleCheckTask() {
	task := &broker.Task{ID: broker.NewTaskID("q", ""), Name: "report", Queue: "q", Flow: broker.TaskFlow{Blocked: true}}
	fmt.Println(broker.CheckTask(memory.New(), task))
	fmt.Println(errors.Is(broker.CheckTask(small{memory.New()}, task), broker.ErrUnsupported))

	// Output:
	// <nil>
	// true
}
