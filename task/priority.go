package task

import "math"

// Priority is carried with a call for brokers that order a queue by it, the
// highest first: -128 to 127. The default is 0. A broker that knows no
// priorities keeps the number, and its order of arrival.
func Priority(n int) Option {
	return optionFunc(func(s *Settings) {
		if n < math.MinInt8 || n > math.MaxInt8 {
			s.fail("Priority(%d), want %d to %d", n, math.MinInt8, math.MaxInt8)
			return
		}
		s.Priority = int8(n)
	})
}
