package minion

// schemas returns the names of the tasks that the minion can run, and the hashes of their
// schemas. The minion registers both with the broker, which hands it parked tasks that it
// can run. The handlers no longer change when a run has begun.
func (m *Minion) schemas() map[string]uint64 {
	hashes := make(map[string]uint64, len(m.handlers))
	for name, h := range m.handlers {
		hashes[name] = h.Settings.Schema
	}
	return hashes
}
