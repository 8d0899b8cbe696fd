package slab_test

import (
	"bytes"
	"testing"

	"github.com/go-arbiter/arbiter/internal/base/slab"
)

// Slices keep their content, however they are made, and appending to one does not change the
// next.
func TestBytes(t *testing.T) {
	for left := range 3 {
		s := slab.Bytes{Left: 300 * left}
		var all, want [][]byte
		for i := range 300 {
			given := bytes.Repeat([]byte{byte(i)}, i)
			var got []byte
			switch i % 5 {
			case 0:
				got = s.Copy(given)
			case 1:
				got = s.CopyString(string(given))
			case 2:
				got = s.Keep(append(s.Room(), given...))
			case 3:
				got = s.Keep(append(s.RoomFor(i), given...))
			case 4: // the caller of Room uses memory of its own instead
				_ = append(s.Room(), 99)
				got = s.Keep(bytes.Clone(given))
			}
			if !bytes.Equal(got, given) || cap(got) > len(got) && i > 0 {
				t.Fatalf("slice %d is %v, with %d of capacity", i, got, cap(got))
			}
			all, want = append(all, got), append(want, given)
		}
		for i, b := range all {
			_ = append(b, 255)
			if !bytes.Equal(b, want[i]) {
				t.Errorf("slice %d has become %v", i, b)
			}
		}
	}
}

// Small slices share memory, but only a little of it.
func TestBytesShare(t *testing.T) {
	given := bytes.Repeat([]byte{1}, 40)
	if n := testing.AllocsPerRun(10, func() {
		s := slab.Bytes{Left: 160}
		for range 160 {
			s.Copy(given)
		}
	}); n > 11 {
		t.Errorf("160 slices of 40 bytes take %v allocations", n)
	}
	s := slab.Bytes{Left: 1 << 20}
	s.Copy(given)
	if room := cap(s.Room()); room > 1024 {
		t.Errorf("a slice of 40 bytes keeps %d more alive", room)
	}
}

func TestOf(t *testing.T) {
	s := slab.Of[int]{Left: 40}
	seen := map[*int]bool{}
	for i := range 100 {
		v := s.Next()
		if *v != 0 || seen[v] {
			t.Fatalf("value %d is %d, and was handed out before: %v", i, *v, seen[v])
		}
		seen[v], *v = true, i+1
	}
}
