//go:build unix

package chaos

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// skews are the hosts with a wrong clock, and how wrong it is.
var skews = map[string]time.Duration{"m1": 5 * time.Hour, "m2": -7 * time.Hour, "s1": 3 * time.Hour}

// skewEnv is the environment variable that tells a skewed build how far its clock is ahead.
const skewEnv = "ARBITER_TEST_SKEW"

// build is a binary of this test. The path is empty if the build was skipped.
type build struct{ path string }

// Only time.Now is patched. So the wall clock of the process is wrong, as if the clock of its
// machine were, and its monotonic clock is right.
const (
	nowBefore = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	nowAfter  = nowBefore + "\tsec += skew\n"
	skewFile  = `package time

import "syscall"

var skew = readSkew()

func readSkew() int64 {
	text, _ := syscall.Getenv("` + skewEnv + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}
`
)

// buildSkewed builds this test with a standard library whose clock can be wrong. There is no other
// way to set the clock of one process: a preloaded library has no effect on a Go program, and a
// time namespace does not change the wall clock. The build compiles all dependencies again, because
// all of them import time. This takes minutes on a slow machine with a cold cache, so it is left to
// the long form.
func buildSkewed(t *testing.T) build {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lib := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(lib, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), nowBefore); n != 1 {
		t.Fatalf("the known begin of time.Now is %d times in the standard library, want once", n)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(lib, "time.go"): write("time.go", strings.Replace(string(source), nowBefore, nowAfter, 1)),
		filepath.Join(lib, "skew.go"): write("skew.go", skewFile),
	}})
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "skewed.test")
	cmd := exec.Command("go", "test", "-c", "-overlay", write("overlay.json", string(overlay)), "-o", exe, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with a clock that can be wrong: %v\n%s", err, out)
	}
	return build{exe}
}
