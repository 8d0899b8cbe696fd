package task_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestFloors checks the import rules of docs/architecture.md: a package imports only packages of
// the layers below it.
func TestFloors(t *testing.T) {
	const module = "github.com/go-arbiter/arbiter/"
	// The lowest layer, which every package may import, three packages between task and the codecs, and
	// the records, which the packages that seal them need.
	allowed := []string{
		module + "internal/base/msgp", module + "internal/base/infokey", module + "internal/base/backoff", module + "internal/base/stack", module + "internal/base/cut",
		module + "internal/engine/seal", module + "internal/base/guard", module + "internal/engine/title", module + "broker/wire",
	}
	common := []string{"github.com/redis/", "golang.org/x/tools", "testing", "github.com/alicebob/", "pgregory.net/"}
	for pkg, forbidden := range map[string][]string{
		"internal/base/msgp":         {module + "broker", module + "codec", "github.com/vmihailenco/", "testing"},
		"codec":                      {module + "broker", module + "task", module + "arbiter", module + "minion", "github.com/redis/"},
		"broker/wire":                {module + "broker/", module + "task", module + "arbiter", module + "minion", "github.com/redis/"},
		"broker":                     {module + "broker/", module + "task", module + "arbiter", module + "minion", "github.com/redis/"},
		"task":                       append([]string{module + "broker/", module + "arbiter", module + "minion", module + "internal"}, common...),
		"arbiter":                    append([]string{module + "broker/", module + "minion"}, common...),
		"minion":                     append([]string{module + "broker/", module + "arbiter"}, common...),
		"broker/memory":              append([]string{module + "broker/redis", module + "task", module + "codec"}, common...),
		"broker/redis":               {module + "broker/memory", module + "task", module + "codec", "testing", "github.com/alicebob/"},
		"examples/tasks":             common,
		"examples/thumbnails/client": append([]string{module + "broker/", module + "arbiter", module + "minion", module + "examples/thumbnails/worker"}, common...),
	} {
		out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			if slices.Contains(allowed, dep) {
				continue
			}
			for _, f := range forbidden {
				if dep == f || strings.HasPrefix(dep, f) && (strings.HasSuffix(f, "/") || strings.HasPrefix(dep, f+"/")) {
					t.Errorf("%s depends on %s", pkg, dep)
				}
			}
		}
	}
}
