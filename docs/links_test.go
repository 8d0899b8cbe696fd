package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows the links between the documents: the files and headings that a link
// names exist.
func TestLinks(t *testing.T) {
	t.Parallel()
	headings := make(map[string]map[string]bool) // the anchors of each file
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
				t.Errorf("%s: the file of the link %s does not exist", file, m[1])
				continue
			}
			if anchor == "" {
				continue
			}
			if headings[target] == nil {
				headings[target] = anchors(t, target)
			}
			if !headings[target][anchor] {
				t.Errorf("%s: %s has no heading #%s", file, target, anchor)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d links were found", n)
	}
}

// anchors returns the anchors of the headings of a document: the headings in lower case,
// without punctuation, with hyphens for spaces.
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

// TestDecisionsAreListed compares the headings of decisions.md with its table of
// contents: each chapter and each entry has a link, in the order of the page. An entry
// without a heading is an error, because no link could lead to it.
func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	const file = "docs/decisions.md"
	_, rest, ok := strings.Cut(read(t, file), "\n## Contents\n")
	if !ok {
		t.Fatalf("%s has no heading Contents", file)
	}
	var listed, headings []string
	for line := range strings.Lines(rest) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "), strings.HasPrefix(line, "### "):
			headings = append(headings, strings.TrimLeft(line, "# "))
		case len(headings) == 0 && strings.Contains(line, "- ["):
			_, name, _ := strings.Cut(line, "- [")
			name, _, _ = strings.Cut(name, "](")
			listed = append(listed, name)
		case strings.HasPrefix(line, "**") && !label.MatchString(line):
			t.Errorf("%s: an entry needs a heading and a line in the contents: %s", file, line)
		}
	}
	for i := range max(len(listed), len(headings)) {
		if i >= len(listed) || i >= len(headings) || listed[i] != headings[i] {
			t.Fatalf("%s: %d lines in the contents, %d headings; they differ from the %d. on: contents %q, headings %q",
				file, len(listed), len(headings), i+1, listed[min(i, len(listed)):min(i+1, len(listed))], headings[min(i, len(headings)):min(i+1, len(headings))])
		}
	}
	if len(headings) < 100 {
		t.Errorf("%s: only %d headings were found", file, len(headings))
	}
}

// label begins a paragraph of an entry.
var label = regexp.MustCompile(`^\*\*(Why|Alternatives|Price)\.\*\* `)

// TestDecisionsHaveReasons requires that each entry of decisions.md states the decision
// first, and then why it was made.
func TestDecisionsHaveReasons(t *testing.T) {
	t.Parallel()
	const file = "docs/decisions.md"
	n := 0
	for _, entry := range strings.Split(read(t, file), "\n### ")[1:] {
		n++
		title, text, _ := strings.Cut(entry, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		if text = strings.TrimSpace(text); strings.HasPrefix(text, "**") || text == "" {
			t.Errorf("%s: the entry %q does not begin with the decision", file, title)
		}
		if !strings.Contains(text, "\n**Why.** ") {
			t.Errorf("%s: the entry %q has no reason", file, title)
		}
	}
	if n < 100 {
		t.Errorf("%s: only %d entries were found", file, n)
	}
}
