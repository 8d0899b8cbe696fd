package gen

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkOnePackage generates code for one package with ten tasks. With a warm
// build cache it must take less than 0.3 s.
func BenchmarkOnePackage(b *testing.B) { benchmark(b, 1, 10) }

// BenchmarkHundredPackages generates code for 1,000 tasks in 100 packages. With a
// warm build cache it must take less than 2 s.
func BenchmarkHundredPackages(b *testing.B) { benchmark(b, 100, 10) }

// BenchmarkBigPackage generates code for 5,000 tasks in one package.
func BenchmarkBigPackage(b *testing.B) { benchmark(b, 1, 5000) }

func benchmark(b *testing.B, packages, tasks int) {
	dir := newModule(b)
	for i := range packages {
		var src bytes.Buffer
		fmt.Fprintf(&src, "package p%d\n\nimport (\n\t\"context\"\n\t\"time\"\n)\n", i)
		src.WriteString("\ntype T struct {\n\tName string\n\tAt   time.Time\n\tMore []T\n}\n")
		for j := range tasks {
			fmt.Fprintf(&src, "\n//arbiter:task\nfunc F%d(ctx context.Context, x int, t T) (int, error) { return x, nil }\n", j)
		}
		writeFile(b, filepath.Join(dir, fmt.Sprintf("p%d/tasks.go", i)), src.String())
	}
	for b.Loop() {
		// There is no generated file at first, as after a checkout.
		b.StopTimer()
		for i := range packages {
			_ = os.Remove(filepath.Join(dir, fmt.Sprintf("p%d/arbiter_gen.go", i)))
		}
		b.StartTimer()
		var stderr bytes.Buffer
		code := Run(b.Context(), Config{Dir: dir, Patterns: []string{"./..."}, Stdout: io.Discard, Stderr: &stderr})
		if code != OK {
			b.Fatal(stderr.String())
		}
	}
	b.ReportMetric(float64(packages*tasks), "tasks")
}

// newModule returns a folder with an empty module.
func newModule(tb testing.TB) string {
	dir := tb.TempDir()
	writeFile(tb, filepath.Join(dir, "go.mod"), "module example.com/m\n\ngo 1.26\n")
	return dir
}

func writeFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		tb.Fatal(err)
	}
}
