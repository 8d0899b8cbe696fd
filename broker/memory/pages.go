package memory

// pages is a list of values that only grows. It is divided into pages, so a long list grows without being
// copied. Pages begin small, since many lists are short, and double in size.
type pages[T any] [][]T

// pageSize is how many values a large page has.
const pageSize = 4096

// room returns the last page, with room for n more values.
func (p *pages[T]) room(n int) *[]T {
	last := len(*p) - 1
	if last < 0 || cap((*p)[last])-len((*p)[last]) < n {
		size := n
		if last >= 0 {
			size = max(n, min(2*cap((*p)[last]), pageSize))
		}
		*p = append(*p, make([]T, 0, size))
		last++
	}
	return &(*p)[last]
}
