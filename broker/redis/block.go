package redis

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
)

// This file groups tasks by block, so that the state hash needs one field for up to 64 of
// them. A field for each task would be most of what its state costs in memory and time.
//
// Tasks that are sent together get ids in blocks: the first 15 bytes are alike, and the last
// one is the position in the block, from 1 to 64. The state of such tasks is one field,
// called the block; block.lua describes its format. When they are settled together their
// outcomes are one more field, called a run.
//
// Two things happen here. Enqueue builds the blocks of new tasks (field, appendFields,
// appendBlock), so that the script need not. Settle puts its batch in an order in which the
// tasks of a block follow each other (arrangement), so that the script can write runs.

// field is one field of the state hash that Enqueue writes. It has the states of the plain
// messages of a part from index first to last. These are one message, or several of one
// block.
type field struct {
	block       bool // whether it is a block; else it is the state of a single task
	first, last int
	id          broker.ID // the id of the last one
	inbox       broker.ID // the inbox that all of them have
}

// field assigns t, the task that was added to the part last, to a field of the state hash: to
// the last field if both are of one block, else to a new one. It returns false if
// the simple script can't store the part: t was added before, so the script has to decide
// which of the two counts; or another field of the same block was begun before, and a
// block can only be written once. Seen has the ids and blocks of the batch; nil for a batch of
// one task.
func (p *part) field(t *broker.Task, seen ids) bool {
	at := len(p.plain) - 1
	position := t.ID.BlockPosition()
	if position == 0 {
		p.fields = append(p.fields, field{first: at, last: at})
		return seen == nil || seen.add(t.ID)
	}
	if n := len(p.fields); n > 0 {
		f := &p.fields[n-1]
		if f.block && idblock.Name(f.id) == idblock.Name(t.ID) && f.id.BlockPosition() < position && f.inbox == t.Inbox {
			f.last, f.id = at, t.ID
			return true
		}
	}
	p.fields = append(p.fields, field{block: true, first: at, last: at, id: t.ID, inbox: t.Inbox})
	return seen == nil || seen.add(idblock.Name(t.ID))
}

// cut reports whether a new part has to be begun for t, because t is the first task of a
// block that does not fit into this part as a whole. left is how many tasks of the batch
// remain, with t.
func (p *part) cut(t *broker.Task, left int) bool {
	if t.ID.BlockPosition() != 1 {
		return false
	}
	n := p.count()
	return n > 0 && n+min(left, broker.BlockSize) > broker.MaxBatch || p.size > broker.MaxBatchBytes-broker.BlockBytes
}

// A block has a mark for each position, which says where the state of that task is. The mark
// 1, for a state in a field of its own, is written by scripts only.
const (
	markHere = 0 // in the block
	markNone = 2 // nowhere: the task was never stored, or its state was swept
)

// appendFields appends the number of fields of the part, and the name and value of each. If
// there is no block it appends 0, and the script makes the fields from the messages.
func (p *part) appendFields(args []any) []any {
	if !slices.ContainsFunc(p.fields, func(f field) bool { return f.block }) {
		return append(args, 0)
	}
	args = append(args, len(p.fields))
	add := func(b []byte) {
		p.in.blobs = append(p.in.blobs, blob{b})
		args = append(args, &p.in.blobs[len(p.in.blobs)-1])
	}
	room := 0
	for i := range p.fields {
		if f := &p.fields[i]; f.block {
			room += 2 + 16 + 5*f.id.BlockPosition()
		}
	}
	p.in.heads = slices.Grow(p.in.heads[:0], room) // blobs point into it, so it must not move
	for i := range p.fields {
		f := &p.fields[i]
		msg := p.message(f.first)
		id, origin := msg[wire.OffsetID:][:16], msg[wire.OffsetDigest:][:originSize]
		if !f.block {
			add(id)
			add(origin)
			continue
		}
		from := len(p.in.heads)
		p.in.heads = p.appendBlock(p.in.heads, f)
		add(id[:broker.BlockPrefix])
		add(p.in.heads[from:len(p.in.heads):len(p.in.heads)])
	}
	return args
}

// appendBlock appends the value of a new block: version, highest position, the marks, the
// inbox, and the digest of each task.
func (p *part) appendBlock(dst []byte, f *field) []byte {
	n := f.id.BlockPosition()
	from := len(dst)
	dst = append(dst, 1, byte(n))
	for range n {
		dst = append(dst, markNone)
	}
	dst = append(dst, f.inbox[:]...)
	dst = append(dst, make([]byte, 4*n)...)
	block := dst[from:]
	for i := f.first; i <= f.last; i++ {
		msg := p.message(i)
		position := int(msg[wire.OffsetID+broker.BlockPrefix])
		block[1+position] = markHere
		copy(block[14+n+4*position:], msg[wire.OffsetDigest:][:4])
	}
	return dst
}

// message returns the i-th plain message.
func (p *part) message(i int) []byte {
	from := 0
	if i > 0 {
		from = p.plain[i-1]
	}
	return p.in.bytes[from:p.plain[i]]
}

// largeResult is the size in bytes above which a result gets a field of its own. A reader of
// one task of a block reads the whole block, so large results in it would slow down all
// look-ups.
const largeResult = 256

// inBlock reports whether the outcome of a settlement is stored with its block, as a part of
// a run. That is so for short results and for outcomes that are not kept at all, but not for
// errors.
func inBlock(s *broker.Settlement) bool {
	if s.Verb != broker.VerbFinish || s.Delivery == nil || s.Delivery.ID.BlockPosition() == 0 {
		return false
	}
	return s.Delivery.Retention == 0 || len(s.Outcome.Result) <= largeResult && s.Outcome.Err == nil
}

// arrangement sorts the settlements of a batch: those of one block follow each other, in the
// order in which they were added, and those that are not stored with a block come last.
// The settlements of a block are a linked list (chain) over the indices of the batch, whose
// memory is reused.
type arrangement struct {
	size   int               // how many settlements the batch has
	chains []chain           // one for each block
	where  map[broker.ID]int // index in chains by block; nil while there are few
	in     *scratch
	next   []int // next[i] is one more than the index of the settlement after i in its chain; 0 ends the chain
	rest   []int // indices of the settlements that are not stored with a block
	alone  ids   // ids of tasks that are in no block, to find repetitions
}

// free gives back the memory of the arrangement and of its order.
func (a *arrangement) free() {
	a.in.free()
	a.alone.free()
}

// chain is the list of the settlements of one block.
type chain struct {
	block broker.ID // its name, see idblock.Name
	seen  uint64    // bit set of the positions in the block that were added
	first int       // one more than the index of the first settlement stored with the block; 0 if there is none
	last  int       // index of the last one
}

// fewChains is up to how many chains a search looks at one by one. That is faster than a map.
const fewChains = 16

// add adds settlement i of the batch. It returns false and leaves s out if the batch has an
// earlier settlement of the same task.
func (a *arrangement) add(i int, s *broker.Settlement) bool {
	id := s.Delivery.ID
	position := id.BlockPosition()
	if position == 0 {
		if a.alone == nil {
			a.alone = idSets.Get().(ids)
		}
		if !a.alone.add(id) {
			return false
		}
		a.rest = append(a.rest, i)
		return true
	}
	c := a.chain(idblock.Name(id))
	bit := uint64(1) << (position - 1)
	switch {
	case c.seen&bit != 0:
		return false
	case !inBlock(s):
		a.rest = append(a.rest, i)
	case c.first == 0:
		c.first, c.last = i+1, i
	default:
		if a.next == nil {
			a.next = slices.Grow(a.in.chain, a.size)[:a.size]
			clear(a.next)
			a.in.chain = a.next
		}
		a.next[c.last], c.last = i+1, i
	}
	c.seen |= bit
	return true
}

// chain returns the chain of a block, and adds it if it is new. The pointer is valid until the
// next call.
func (a *arrangement) chain(block broker.ID) *chain {
	if a.where == nil {
		for k := len(a.chains) - 1; k >= 0; k-- {
			if a.chains[k].block == block {
				return &a.chains[k]
			}
		}
	} else if k, ok := a.where[block]; ok {
		return &a.chains[k]
	}
	a.chains = append(a.chains, chain{block: block})
	if a.where == nil && len(a.chains) > fewChains {
		a.where = make(map[broker.ID]int)
		for k := range a.chains {
			a.where[a.chains[k].block] = k
		}
	} else if a.where != nil {
		a.where[block] = len(a.chains) - 1
	}
	return &a.chains[len(a.chains)-1]
}

// positions returns the indices of the settlements that were added, in the order of the
// arrangement. The slice is valid until free.
func (a *arrangement) positions() []int {
	if len(a.chains) == 0 {
		return a.rest
	}
	order := slices.Grow(a.in.positions, a.size)
	a.in.positions = order
	for _, c := range a.chains {
		for at := c.first; at > 0; {
			order = append(order, at-1)
			if a.next == nil {
				break
			}
			at = a.next[at-1]
		}
	}
	return append(order, a.rest...)
}

// extendRun notes that the next settlement of a group is one of a block. The script is told how
// many successive settlements belong to the same block, at most 255 in a byte.
func (m *members) extendRun(id broker.ID) {
	block := idblock.Name(id)
	if n := len(m.runs); n > 0 && m.block == block && m.runs[n-1] < 255 {
		m.runs[n-1]++
		return
	}
	m.block = block
	m.runs = append(m.runs, 1)
}
