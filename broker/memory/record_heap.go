package memory

// recordHeap is a heap of records, ordered by record.at and then by record.seq. Each record
// knows its index (heapIndex), so it can be removed at any time. A record is in at most one
// heap.
type recordHeap []*record

// first returns the earliest time, or never if there is none.
func (h recordHeap) first() instant {
	if len(h) == 0 {
		return never
	}
	return h[0].at
}

func (h *recordHeap) push(r *record) {
	*h = append(*h, r)
	r.heapIndex = int32(len(*h) - 1)
	h.up(len(*h) - 1)
}

// due removes and returns the first record if its time has come, else it returns nil.
func (h *recordHeap) due(now instant) *record {
	if h.first() > now {
		return nil
	}
	r := (*h)[0]
	h.remove(r)
	return r
}

func (h *recordHeap) remove(r *record) {
	i, last := int(r.heapIndex), len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	r.heapIndex = -1
	if i < last {
		h.down(i)
		h.up(i)
	}
	if cap(*h) > 1024 && len(*h) < cap(*h)/4 {
		*h = append(make(recordHeap, 0, 2*len(*h)), *h...)
	}
}

func (h recordHeap) less(i, j int) bool {
	a, b := h[i], h[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (h recordHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = int32(i), int32(j)
}

func (h recordHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h recordHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
