package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows the links between the documents: files exist, and so do the
// headings that a link names.
func TestLinks(t *testing.T) {
	t.Parallel()
	n := 0
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(file), path))
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, m[1])
				continue
			}
			if anchor != "" && !anchors(t, target)[anchor] {
				t.Errorf("%s: %s has no heading #%s", file, target, anchor)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d links were found", n)
	}
}

// anchors returns the names by which links reach the headings of a document:
// lower case, without punctuation, with hyphens for spaces.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	fenced := false
	for line := range strings.Lines(read(t, file)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced || !strings.HasPrefix(line, "#") {
			continue
		}
		head := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		head = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(head, "")
		all[strings.ReplaceAll(head, " ", "-")] = true
	}
	return all
}
