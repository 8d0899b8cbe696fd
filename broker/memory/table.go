package memory

// table is a map that frees memory. A Go map never shrinks, so a table that has become
// almost empty copies its entries to a new map.
type table[K comparable, V any] struct {
	m    map[K]V
	peak int // the largest number of entries that m has had
}

// tableSlack is the size below which a table is not worth copying.
const tableSlack = 1024

func newTable[K comparable, V any]() table[K, V] { return table[K, V]{m: map[K]V{}} }

func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := t.m[k]
	return v, ok
}

func (t *table[K, V]) has(k K) bool {
	_, ok := t.m[k]
	return ok
}

func (t *table[K, V]) size() int { return len(t.m) }

func (t *table[K, V]) put(k K, v V) {
	t.m[k] = v
	t.peak = max(t.peak, len(t.m))
}

// drop removes an entry. It copies the map after seven entries were dropped for each one
// that is copied, so its cost per dropped entry is small.
func (t *table[K, V]) drop(k K) {
	delete(t.m, k)
	if t.peak < tableSlack || len(t.m) > t.peak/8 {
		return
	}
	m := make(map[K]V, len(t.m))
	for k, v := range t.m {
		m[k] = v
	}
	t.m, t.peak = m, len(m)
}
