//go:build race

package redis_test

import "time"

// prompt is how late what is prompt may be. The race detector makes all of it
// several times slower, on machines that have little to spare.
const prompt = 200 * time.Millisecond
