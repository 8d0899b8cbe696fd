package task_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestFloors holds the arrows of docs/architecture.md: a package imports only
// what is below it.
func TestFloors(t *testing.T) {
	const house = "github.com/go-arbiter/arbiter/"
	// The ground floor, which every other may stand on.
	ground := []string{house + "internal/msgp", house + "internal/infokey", house + "internal/backoff", house + "internal/stack"}
	// Between task and the codecs.
	ground = append(ground, house+"internal/seal", house+"internal/guard")
	common := []string{"github.com/redis/", "golang.org/x/tools", "testing", "github.com/alicebob/", "pgregory.net/"}
	for pkg, forbidden := range map[string][]string{
		"internal/msgp":              {house + "broker", house + "codec", "github.com/vmihailenco/", "testing"},
		"codec":                      {house + "broker", house + "task", house + "arbiter", house + "minion", "github.com/redis/"},
		"broker":                     {house + "broker/", house + "task", house + "arbiter", house + "minion", "github.com/redis/"},
		"task":                       append([]string{house + "broker/", house + "arbiter", house + "minion", house + "internal"}, common...),
		"arbiter":                    append([]string{house + "broker/", house + "minion"}, common...),
		"minion":                     append([]string{house + "broker/", house + "arbiter"}, common...),
		"broker/memory":              append([]string{house + "broker/redis", house + "task", house + "codec"}, common...),
		"broker/redis":               {house + "broker/memory", house + "task", house + "codec", "testing", "github.com/alicebob/"},
		"examples/tasks":             common,
		"examples/thumbnails/client": append([]string{house + "broker/", house + "arbiter", house + "minion", house + "examples/thumbnails/worker"}, common...),
	} {
		out, err := exec.Command("go", "list", "-deps", house+pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			if slices.Contains(ground, dep) {
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
