package broker_test

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// small is a broker that has no optional capability: embedding the interface hides
// those of the broker in it.
type small struct{ broker.Broker }

// What needs a capability asks for it, and says what for.
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

// A broker checks what it is given with CheckTask, which knows what the broker
// lacks.
func ExampleCheckTask() {
	task := &broker.Task{ID: broker.NewTaskID("q", ""), Name: "report", Queue: "q", Blocked: true}
	fmt.Println(broker.CheckTask(memory.New(), task))
	fmt.Println(errors.Is(broker.CheckTask(small{memory.New()}, task), broker.ErrUnsupported))

	// Output:
	// <nil>
	// true
}
