package gen

import "testing"

// hashOf returns the hash of the only task of a package.
func hashOf(t *testing.T, src string) uint64 {
	t.Helper()
	u, tasks := checkSource("package p\nimport \"time\"\nvar _ time.Time\n//arbiter:task\n" + src)
	if u.failed || len(tasks) != 1 {
		t.Fatalf("%s: %v", src, u.program.diags.list)
	}
	return tasks[0].schema.hash()
}

// TestHash checks that the hash depends exactly on the encoding: changes that do not affect the encoding keep the hash, and
// all others change it.
func TestHash(t *testing.T) {
	same := [][2]string{
		{"func F(x int)", "func G(x int)"},
		{"func F(x int)", "func F(x int) error"},
		{"func F(x T); type T struct{ A, B int }", "func F(x U); type U struct{ B, A int }"},
		{"func F(x T); type T int", "func F(x int)"},
		{"func F(x []byte)", "func F(x []uint8)"},
		{"func F(x T); type T = []any", "func F(x []interface{})"},
		{"func F(x T); type T struct{ Next *T; n chan int }", "func F(x U); type U struct{ Next *U }"},
		{"func F(x T); type T struct{ A int `json:\"b\"` }", "func F(x T); type T struct{ B int `msgpack:\"b\"` }"},
	}
	for _, s := range same {
		if a, b := hashOf(t, s[0]), hashOf(t, s[1]); a != b {
			t.Errorf("these have different hashes: %s\n%s", s[0], s[1])
		}
	}
	seen := make(map[uint64]string)
	for _, src := range []string{
		"func F()", "func F() int", "func F(x int)", "func F(y int)", "func F(x int64)", "func F(x ...int)", "func F(x []int)",
		"func F(x [3]int)", "func F(x *int)", "func F(x map[string]int)", "func F(x map[int]int)", "func F(x, y int)", "func F(y, x int)",
		"func F(x time.Time)", "func F(x any)", "func F(x []byte)", "func F(x struct{ A int })", "func F(x struct{ B int })",
		"func F(x T); type T struct{ Next *T }", "func F(x T); type T []T",
	} {
		h := hashOf(t, src)
		if seen[h] != "" {
			t.Errorf("these have the same hash: %s\n%s", seen[h], src)
		}
		seen[h] = src
	}
	// This hash is in stored tasks, and must never change.
	if h := hashOf(t, "func Add(x, y int) int"); h != 0xe85b0d00c3b8e946 {
		t.Errorf("the hash of simple_add is %#x", h)
	}
}

func TestDiffer(t *testing.T) {
	old := map[string]*definition{
		"p.T": {Fields: []shapeField{{"A", "int32"}, {"Next", "*p.T"}}},
		"p.E": {Encoding: "MarshalText"},
		"p.L": {Type: "[]p.L"},
	}
	now := map[string]*definition{
		"p.T": {Fields: []shapeField{{"A", "int64"}, {"Next", "*p.T"}, {"More", "any"}}},
		"p.U": {Fields: []shapeField{{"A", "int16"}, {"Next", "*p.U"}}},
		"p.V": {Fields: []shapeField{{"A", "int32"}}},
		"p.E": {Encoding: "MarshalText"},
		"p.L": {Type: "[]p.L"},
	}
	for _, test := range []struct{ old, now, want string }{
		{"int8", "int64", ""},
		{"uint8", "int16", ""},
		{"uint16", "int16", "x changed from uint16 to int16"},
		{"int64", "int8", "x narrowed from int64 to int8"},
		{"float32", "float64", ""},
		{"float64", "float32", "x narrowed from float64 to float32"},
		{"int", "string", "x changed from int to string"},
		{"int", "*int", ""},
		{"*int", "int", "x changed from *int to int, which cannot be nil"},
		{"[4]int", "[]int64", ""},
		{"[]int", "[4]int", "x changed from []int to [4]int"},
		{"[4]uint8", "bytes", ""},
		{"map[string][]int", "map[string][]int8", "x[key][0] narrowed from int to int8"},
		{"map[string]int", "map[int]int", "x changed from map[string]int to map[int]int"},
		{"[]p.T", "any", ""},
		{"any", "p.T", "x changed from any to p.T"},
		{"p.T", "p.T", ""},
		{"*p.T", "*p.U", "x.A narrowed from int32 to int16"},
		{"p.T", "p.V", "x.Next was removed or renamed; its value would be lost"},
		{"p.E", "p.E", ""},
		{"p.E", "string", "x changed from p.E to string"},
		{"p.L", "p.L", ""},
	} {
		d := differ{old: old, new: now}
		if got := d.value(test.old, test.now, "x"); got != test.want {
			t.Errorf("%s to %s: %q, want %q", test.old, test.now, got, test.want)
		}
	}
}
