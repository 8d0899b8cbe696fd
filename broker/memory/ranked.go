package memory

// ranked is a heap: its first value is the one that comes before all others. Each value knows
// its place there, so it can be moved or removed at any time. A value is in one heap at most.
type ranked[T any, P rank[T]] struct{ values []*T }

// rank is a pointer to a value that can be in a ranked.
type rank[T any] interface {
	*T
	before(*T) bool // the order
	place() *int32  // the index in the heap plus one; 0 if it is in none
}

// first returns the first value, or nil if there is none.
func (h *ranked[T, P]) first() *T {
	if len(h.values) == 0 {
		return nil
	}
	return h.values[0]
}

func (h *ranked[T, P]) len() int { return len(h.values) }

// add adds a value that is in no heap.
func (h *ranked[T, P]) add(v *T) {
	h.values = append(h.values, v)
	h.up(len(h.values) - 1)
}

// fix moves a value of this heap to its place, after its rank has changed.
func (h *ranked[T, P]) fix(v *T) {
	i := int(*P(v).place()) - 1
	if h.up(i) == i {
		h.down(i)
	}
}

// remove removes a value of this heap. It does not compare that value.
func (h *ranked[T, P]) remove(v *T) {
	i, last := int(*P(v).place())-1, len(h.values)-1
	*P(v).place() = 0
	moved := h.values[last]
	h.values[last] = nil
	h.values = h.values[:last]
	if i < last {
		h.set(i, moved)
		h.fix(moved)
	}
	if cap(h.values) > 1024 && last < cap(h.values)/4 { // a slice never shrinks
		h.values = append(make([]*T, 0, 2*last), h.values...)
	}
}

func (h *ranked[T, P]) set(i int, v *T) {
	h.values[i] = v
	*P(v).place() = int32(i + 1)
}

// up moves the value at an index towards the front, and returns its new index.
func (h *ranked[T, P]) up(i int) int {
	v := h.values[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !P(v).before(h.values[parent]) {
			break
		}
		h.set(i, h.values[parent])
		i = parent
	}
	h.set(i, v)
	return i
}

// down moves the value at an index towards the end.
func (h *ranked[T, P]) down(i int) {
	v, n := h.values[i], len(h.values)
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if other := child + 1; other < n && P(h.values[other]).before(h.values[child]) {
			child = other
		}
		if !P(h.values[child]).before(v) {
			break
		}
		h.set(i, h.values[child])
		i = child
	}
	h.set(i, v)
}
