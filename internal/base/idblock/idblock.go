// Package idblock has a map for ids that come in blocks, see [broker.Block].
package idblock

import "github.com/go-arbiter/arbiter/broker"

// Has reports whether an id is in a block.
func Has(id broker.ID) bool { return id.BlockPosition() != 0 }

// Name returns the id that stands for the whole block of id. No task has it.
func Name(id broker.ID) broker.ID { return id.AtPosition(0xff) }
