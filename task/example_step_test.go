package task_test

import (
	"fmt"

	"github.com/go-arbiter/arbiter/task"
)

// A step is a call whose argument upstream is missing: it will be the result of the call before.
// Generated code makes this step with ScaleTask.Step(3).
func ExampleStep() {
	type ScaleArgs struct {
		Upstream int `arbiter:"upstream"`
		Factor   int `arbiter:"factor"`
	}
	scale := task.Define[ScaleArgs, int]("scale")

	step := task.NewStep[int](scale, "upstream", map[string]any{"factor": 3})
	call := step.Bind(14)

	fmt.Println("waits for:", step.Upstream())
	fmt.Println(call.Request().Name(), call.Request().Args())
	// Output:
	// waits for: upstream
	// scale {[] map[factor:3 upstream:14]}
}
