package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the folder of the module, as seen from this package.
const root = ".."

// A block is a fenced block of a document.
type block struct {
	file string // relative to root
	line int    // number of its first line of text, from 1
	lang string // such as go or sh
	text string
	head string // the last heading before it
}

// documents returns the README, the changelog and the pages of this folder, relative to
// root.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"README.md", "CHANGELOG.md"}
	found, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("only %d documents: %v", len(found), found)
	}
	for _, f := range found {
		files = append(files, filepath.ToSlash(filepath.Join("docs", f)))
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the fenced blocks of a document, in order.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	var all []block
	var open *block
	head, n := "", 0
	for line := range strings.Lines(read(t, file)) {
		n++
		fence, isFence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case isFence && open == nil:
			open = &block{file: file, line: n + 1, lang: fence, head: head}
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line
		case strings.HasPrefix(line, "#"):
			head = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if open != nil {
		t.Errorf("%s:%d: a block is not closed", file, open.line)
	}
	return all
}
