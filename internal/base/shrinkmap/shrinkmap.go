// Package shrinkmap has a map that frees memory. A Go map never shrinks, so one that once
// had millions of entries keeps their memory when it is almost empty.
package shrinkmap

import "maps"

import "iter"

// Map is a Go map that is copied to a smaller one when it has become almost empty. The zero
// Map is ready to use.
type Map[K comparable, V any] struct {
	entries map[K]V
	peak    int // the largest number of entries that the Go map has had
}

// Slack is the number of entries below which a Go map is not worth copying.
const Slack = 1024

// Len returns the number of entries.
func (m *Map[K, V]) Len() int { return len(m.entries) }

// Peak returns the number of entries that the Go map has room for, or more.
func (m *Map[K, V]) Peak() int { return m.peak }

// Get returns the value of a key, and whether the map has the key.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	v, ok = m.entries[k]
	return v, ok
}

// Put sets the value of a key.
func (m *Map[K, V]) Put(k K, v V) {
	if m.entries == nil {
		m.entries = make(map[K]V)
	}
	m.entries[k] = v
	m.peak = max(m.peak, len(m.entries))
}

// Drop removes a key, if the map has it. It copies the map after seven keys were dropped for
// each one that is copied, so its cost per dropped key is small.
func (m *Map[K, V]) Drop(k K) {
	delete(m.entries, k)
	if m.peak < Slack || len(m.entries) > m.peak/8 {
		return
	}
	small := make(map[K]V, len(m.entries))
	maps.Copy(small, m.entries)
	m.entries, m.peak = small, len(small)
}

// All returns all keys with their values, in no particular order.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, v := range m.entries {
			if !yield(k, v) {
				return
			}
		}
	}
}
