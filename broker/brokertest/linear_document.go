package brokertest

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/go-arbiter/arbiter/broker"
)

// documentInput is an operation on a document. No two writes have equal data, so the data stand for the
// version. The data "" stand for a document that does not exist.
type documentInput struct {
	name     string
	act      documentAct
	expected string // the data that the document must have
	data     string // the new data; "" removes it
}

type documentAct uint8

const (
	actRead documentAct = iota
	actWrite
)

// documentOutput is the result of an operation.
type documentOutput struct {
	unknown  bool
	data     string // of a read
	conflict bool   // of a write
}

// documentModel accepts the possible orders of operations on one document.
var documentModel = linearModel("",
	func(in documentInput) string { return in.name },
	func(state string, in documentInput, out documentOutput) (next string, ok bool) {
		switch {
		case in.act == actRead:
			return state, out.data == state
		case state == in.expected:
			return in.data, !out.conflict
		case in.data == "" && state == "": // there is nothing to remove
			return state, !out.conflict
		}
		return state, out.conflict
	},
	func(out documentOutput) bool { return out.unknown },
)

// linearDocuments reads, writes and removes a few documents.
func linearDocuments(c *clients, client int, rng *rand.Rand) {
	docs := c.r.documentsAt(c.at[client])
	last := make(map[string]broker.Document) // as it was read last
	for i := range c.operations(client) {
		name := "d" + itoa(rng.IntN(3))
		call := c.tick()
		was, known := last[name]
		if !known || rng.IntN(2) == 0 {
			d, _, err := docs.ReadDocument(c.r.ctx, c.queue, name)
			if err != nil {
				c.mustBeFault("ReadDocument", err)
				continue
			}
			last[name] = d
			c.note(client, call, documentInput{name: name}, documentOutput{data: string(d.Data)}, false)
			continue
		}
		in := documentInput{name: name, act: actWrite, expected: string(was.Data)}
		var err error
		if rng.IntN(5) == 0 && was.Version > 0 {
			err = docs.RemoveDocument(c.r.ctx, c.queue, name, was.Version)
		} else {
			in.data = fmt.Sprintf("%d of client %d", i, client)
			_, err = docs.WriteDocument(c.r.ctx, c.queue, broker.Document{Name: name, Version: was.Version, Data: []byte(in.data)})
		}
		unknown, nothing := doubt(err)
		out := documentOutput{unknown: unknown, conflict: errors.Is(err, broker.ErrConflict)}
		switch {
		case nothing:
			continue
		case err != nil && !unknown && !out.conflict:
			c.r.Errorf("a write of a document: %v", err)
			return
		}
		delete(last, name) // read it before the next write
		c.note(client, call, in, out, unknown)
	}
}

// mustBeFault reports an error that is none of the faults of the test.
func (c *clients) mustBeFault(what string, err error) {
	if unknown, nothing := doubt(err); !unknown && !nothing {
		c.r.Errorf("%s: %v", what, err)
	}
}
