// Options that are given to the wrong things.
package main

import (
	"context"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

func main() {
	ctx := context.Background()
	var arb *arbiter.Arbiter
	_, _ = arb.Group(ctx, nil, arbiter.Quorum(1))
	_, _ = arb.Group(ctx, nil, arbiter.PersistentArgs(1)) // ERROR missing method applyGroup
	_, _ = arb.Pipe(ctx, nil, arbiter.Quorum(1))          // ERROR missing method applyPipe
	_, _ = arb.Kill(ctx, task.ID{}, arbiter.Quorum(1))    // ERROR missing method applyKill
	_, _ = arb.Apply(ctx, "a", arbiter.Collect())         // ERROR missing method applyTo
	_, _ = arb.Group(ctx, nil, arbiter.Wait())            // ERROR missing method applyGroup
}
