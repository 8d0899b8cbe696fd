package wire

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/go-arbiter/arbiter/broker"
)

func TestNamesAreSharedAndBounded(t *testing.T) {
	var c nameCache
	for _, name := range []string{"", "a", "orders.confirm", strings.Repeat("n", broker.MaxName), strings.Repeat("n", broker.MaxName+1)} {
		first, second := c.intern([]byte(name)), c.intern([]byte(name))
		if first != name || second != name {
			t.Errorf("%q became %q and %q", name, first, second)
		}
		shared := unsafe.StringData(first) == unsafe.StringData(second)
		if fits := len(name) <= broker.MaxName; shared != fits {
			t.Errorf("a name of %d bytes: shared %v, want %v", len(name), shared, fits)
		}
	}
	for i := range 100_000 {
		name := fmt.Sprintf("%d%s", i, strings.Repeat("x", i%200))
		if got := c.intern([]byte(name)); got != name {
			t.Fatalf("%q became %q", name, got)
		}
	}
	for i := range c {
		for j := range c[i] {
			if p := c[i][j].Load(); p == nil || len(*p) > broker.MaxName {
				t.Fatalf("after many names: the entry %v of set %d is empty or too long", p, i)
			}
		}
	}
}

func TestNamesTogether(t *testing.T) {
	var c nameCache
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				name := fmt.Sprintf("task-%d", (i*(g+1))%600)
				if got := c.intern([]byte(name)); got != name {
					t.Errorf("%q became %q", name, got)
				}
			}
		})
	}
	wg.Wait()
}

// Reading a record allocates memory for its payload or result and for nothing else, not
// even for the bytes of a string that it is read from.
func TestRecordsTakeLittleMemory(t *testing.T) {
	task, outcome := usualTask(), usualOutcome()
	task.Codec, outcome.Codec = "json", "json"
	record, result := string(AppendRecord(nil, task)), string(AppendOutcome(nil, outcome))
	buf := make([]byte, 0, 1024)
	var d broker.Delivery
	for name, do := range map[string]struct {
		allocs float64
		f      func()
	}{
		"AppendRecord":  {0, func() { buf = AppendRecord(buf[:0], task) }},
		"AppendOutcome": {0, func() { buf = AppendOutcome(buf[:0], outcome) }},
		"ParseRecord":   {1, func() { _ = ParseRecord(&d, []byte(record), 0) }},
		"ParseOutcome":  {1, func() { _, _ = ParseOutcome([]byte(result)) }},
	} {
		if got := testing.AllocsPerRun(200, do.f); got > do.allocs {
			t.Errorf("%s allocates %v times, want at most %v", name, got, do.allocs)
		}
	}
	if d.Name != task.Name || string(d.Payload) != string(task.Payload) {
		t.Errorf("read %+v", d)
	}
}
