package client

// SetMaxIdle sets how many entries the client keeps although nobody waits for them.
func (c *Client) SetMaxIdle(n int) { c.table.maxIdle = n }

// Entries returns the number of tasks in the client's table.
func (c *Client) Entries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.entries.len()
}

// Sending returns the number of tasks in the client's table that are being sent.
func (c *Client) Sending() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lists := append([]entryList{c.table.idle}, c.table.levels[:]...)
	for i := range lists {
		for e := range lists[i].All() {
			if e.sending != 0 {
				n++
			}
		}
	}
	return n
}
