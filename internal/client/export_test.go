package client

// SetMaxIdle bounds what the client keeps for nobody.
func (c *Client) SetMaxIdle(n int) { c.table.maxIdle = n }

// Entries returns how many tasks the client knows.
func (c *Client) Entries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.entries.n
}
