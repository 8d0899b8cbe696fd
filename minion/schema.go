package minion

// schemas returns what the minion tells of the tasks it can run: their names and
// the hashes of their schemas. Nothing is registered any more.
func (m *Minion) schemas() map[string]uint64 {
	hashes := make(map[string]uint64, len(m.handlers))
	for name, h := range m.handlers {
		hashes[name] = h.Settings.Schema
	}
	return hashes
}
