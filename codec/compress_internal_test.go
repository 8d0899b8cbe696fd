package codec

import (
	"math"
	"testing"
)

// The limit of a decompressed message is exact, and does not overflow where an int has 32 bits.
func TestMayBecome(t *testing.T) {
	const free, most = freeExpansion / MaxExpansion, MaxDecompressed / MaxExpansion
	for n, want := range map[int32]int32{
		0:        freeExpansion,
		free:     freeExpansion,
		free + 1: (free + 1) * MaxExpansion,
		most:     most * MaxExpansion,
		most + 1: MaxDecompressed,

		math.MaxInt32/MaxExpansion + 1:  MaxDecompressed, // the product is negative in 32 bits
		math.MaxUint32/MaxExpansion + 1: MaxDecompressed, // the product is 4 in 32 bits
		math.MaxInt32:                   MaxDecompressed,
	} {
		if got := mayBecome(n); got != want {
			t.Errorf("with 32 bits, %d bytes may become %d, want %d", n, got, want)
		}
		if got := mayBecome(int(n)); got != int(want) {
			t.Errorf("%d bytes may become %d, want %d", n, got, want)
		}
	}
}
