package client

// SetMaxIdle bounds what the client keeps for nobody.
func (c *Client) SetMaxIdle(n int) { c.table.maxIdle = n }

// Entries returns how many tasks the client knows.
func (c *Client) Entries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.entries.n
}

// Sending returns how many of the tasks that the client knows are being sent.
func (c *Client) Sending() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lists := append([]list{c.table.idle}, c.table.levels[:]...)
	for i := range lists {
		for e := lists[i].first; e != nil; e = e.next {
			if e.sending != 0 {
				n++
			}
		}
	}
	return n
}
