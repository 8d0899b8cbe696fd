package memory

// shrinkMap is a map that frees memory. A Go map never shrinks, so one that has become
// almost empty copies its entries to a new map.
type shrinkMap[K comparable, V any] struct {
	m    map[K]V
	peak int // the largest number of entries that m has had
}

// shrinkMapSlack is the size below which a map is not worth copying.
const shrinkMapSlack = 1024

func newShrinkMap[K comparable, V any]() shrinkMap[K, V] { return shrinkMap[K, V]{m: map[K]V{}} }

func (t *shrinkMap[K, V]) get(k K) (V, bool) {
	v, ok := t.m[k]
	return v, ok
}

func (t *shrinkMap[K, V]) has(k K) bool {
	_, ok := t.m[k]
	return ok
}

func (t *shrinkMap[K, V]) size() int { return len(t.m) }

func (t *shrinkMap[K, V]) put(k K, v V) {
	t.m[k] = v
	t.peak = max(t.peak, len(t.m))
}

// drop removes an entry. It copies the map after seven entries were dropped for each one
// that is copied, so its cost per dropped entry is small.
func (t *shrinkMap[K, V]) drop(k K) {
	delete(t.m, k)
	if t.peak < shrinkMapSlack || len(t.m) > t.peak/8 {
		return
	}
	m := make(map[K]V, len(t.m))
	for k, v := range t.m {
		m[k] = v
	}
	t.m, t.peak = m, len(m)
}
