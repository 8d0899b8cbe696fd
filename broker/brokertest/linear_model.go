package brokertest

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// linearModel returns a model of independent objects, such as tasks or keys. Each starts in the
// state first, and key says which object an operation is about. step returns the state after an
// operation, and whether the operation can have that output. An operation with an unknown outcome
// has happened or not.
func linearModel[S, K comparable, In, Out any](
	first S, key func(In) K, step func(S, In, Out) (S, bool), unknown func(Out) bool,
) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Partition: byKey(func(in any) K { return key(in.(In)) }),
		Init:      func() []any { return []any{first} },
		Step: func(state, input, output any) []any {
			s, out := state.(S), output.(Out)
			next, ok := step(s, input.(In), out)
			switch {
			case unknown(out) && next != s:
				return []any{s, next}
			case unknown(out) || ok:
				return []any{next}
			}
			return nil
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	}).ToModel()
}

// byKey splits a history by the objects of its operations.
func byKey[K comparable](key func(input any) K) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) [][]porcupine.Operation {
		index := make(map[K]int)
		var parts [][]porcupine.Operation
		for _, op := range history {
			k := key(op.Input)
			at, known := index[k]
			if !known {
				at = len(parts)
				index[k], parts = at, append(parts, nil)
			}
			parts[at] = append(parts[at], op)
		}
		return parts
	}
}
