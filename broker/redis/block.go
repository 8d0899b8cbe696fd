package redis

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/idblock"
)

// What the state hash keeps of tasks that were sent together is one field for up to
// 64 of them: see block.lua. Here is how a block is written at first, and how what is
// settled is put in the order of blocks.

// field is one field of the state hash that is to be written: the state of the
// plain messages of a part from first to last, which is one message unless they are
// of one block.
type field struct {
	block       bool
	first, last int
	id          broker.ID // of the last one
	inbox       broker.ID // of all
}

// field says in which field the state of a task is, which was the last one added. It
// reports false if the task was there before, which of them counts the script has to
// say, or if there is a part of its block already that it can't join.
func (p *part) field(t *broker.Task, seen ids) bool {
	at := len(p.plain) - 1
	place := t.ID.BlockPlace()
	if place == 0 {
		p.fields = append(p.fields, field{first: at, last: at})
		return seen == nil || seen.add(t.ID)
	}
	if n := len(p.fields); n > 0 {
		f := &p.fields[n-1]
		if f.block && idblock.Name(f.id) == idblock.Name(t.ID) && f.id.BlockPlace() < place && f.inbox == t.Inbox {
			f.last, f.id = at, t.ID
			return true
		}
	}
	p.fields = append(p.fields, field{block: true, first: at, last: at, id: t.ID, inbox: t.Inbox})
	return seen == nil || seen.add(idblock.Name(t.ID))
}

// cut reports whether a part ends before a task, of which left may still come: because
// the block that begins with it would not fit as a whole.
func (p *part) cut(t *broker.Task, left int) bool {
	if t.ID.BlockPlace() != 1 {
		return false
	}
	n := p.count()
	return n > 0 && n+min(left, broker.BlockSize) > broker.MaxBatch || p.size > broker.MaxBatchBytes-broker.BlockBytes
}

// The marks of the places in a block.
const (
	markHere = 0
	markNone = 2
)

// appendFields appends the number of fields of the part, and these. What the script can
// make of the messages it is not told.
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
			room += 2 + 16 + 5*f.id.BlockPlace()
		}
	}
	p.in.heads = slices.Grow(p.in.heads[:0], room) // so that it stays where it is
	for i := range p.fields {
		f := &p.fields[i]
		msg := p.message(f.first)
		id, origin := msg[broker.OffsetID:][:16], msg[broker.OffsetDigest:][:originSize]
		if !f.block {
			add(id)
			add(origin)
			continue
		}
		from := len(p.in.heads)
		p.in.heads = p.appendBlock(p.in.heads, f)
		add(id[:15])
		add(p.in.heads[from:len(p.in.heads):len(p.in.heads)])
	}
	return args
}

// appendBlock appends the state of a block that is new.
func (p *part) appendBlock(dst []byte, f *field) []byte {
	n := f.id.BlockPlace()
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
		place := int(msg[broker.OffsetID+15])
		block[1+place] = markHere
		copy(block[14+n+4*place:], msg[broker.OffsetDigest:][:4])
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

// largeResult is the size in bytes above which a result is kept in a field of the
// task's own: a reader of a block reads all of it.
const largeResult = 256

// inBlock reports whether the outcome of a settlement is to be kept in a block. An
// outcome that is not kept is small whatever it is.
func inBlock(s *broker.Settlement) bool {
	if s.Verb != broker.VerbFinish || s.Delivery == nil || s.Delivery.ID.BlockPlace() == 0 {
		return false
	}
	return s.Delivery.Retention == 0 || len(s.Outcome.Result) <= largeResult && s.Outcome.Err == nil
}

// arrangement puts settlements in an order in which those of a block follow each
// other, and those that are in none come last.
type arrangement struct {
	size   int // how many may come
	chains []chain
	where  map[broker.ID]int // in chains, once they are many
	in     *scratch
	next   []int // of each settlement, the next one of its chain, plus one
	rest   []int
	alone  ids
}

// free gives back the memory of the arrangement and of its order.
func (a *arrangement) free() {
	a.in.free()
	a.alone.free()
}

// chain is the settlements of a block.
type chain struct {
	block broker.ID
	seen  uint64 // places, as bits
	first int    // of those that are kept in the block, plus one; 0 if there is none
	last  int
}

// fewChains are looked at one by one.
const fewChains = 16

// add adds a settlement, the i-th of a batch. It reports false, and leaves it out, if
// there was one of that task before.
func (a *arrangement) add(i int, s *broker.Settlement) bool {
	id := s.Delivery.ID
	place := id.BlockPlace()
	if place == 0 {
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
	bit := uint64(1) << (place - 1)
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

// chain returns that of a block. It is valid until the next call.
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

// places returns the settlements that were added, in order, until the arrangement is
// freed.
func (a *arrangement) places() []int {
	if len(a.chains) == 0 {
		return a.rest
	}
	order := slices.Grow(a.in.places, a.size)
	a.in.places = order
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

// join notes that a settlement of a block is the next of a group.
func (m *members) join(id broker.ID) {
	block := idblock.Name(id)
	if n := len(m.runs); n > 0 && m.block == block && m.runs[n-1] < 255 {
		m.runs[n-1]++
		return
	}
	m.block = block
	m.runs = append(m.runs, 1)
}
