//go:build !race

package redis_test

import "time"

// prompt is how late what is prompt may be.
const prompt = 50 * time.Millisecond
