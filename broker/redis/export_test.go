package redis

// ApartFrom keeps the records of tasks apart whose payloads have so many bytes.
func ApartFrom(n int) Option { return optionFunc(func(c *config) { c.apartFrom = n }) }
