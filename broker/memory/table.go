package memory

// table is a map that gives memory back: a Go map never shrinks, so one that
// has become almost empty is replaced.
type table[K comparable, V any] struct {
	m    map[K]V
	peak int // the most entries m has had
}

// tableSlack is the size below which a table isn't worth replacing.
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

// drop removes an entry. What replacing the map costs is paid for by the seven
// entries dropped for each one that is copied.
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
