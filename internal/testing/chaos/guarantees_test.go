package chaos

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each promise in docs/guarantees.md names existing tests that prove it. A name of two parts is a
// group and a test of the suite for brokers.
func TestGuarantees(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	promises, _, found := strings.Cut(string(text), "## What is not promised")
	if !found {
		t.Fatal("docs/guarantees.md has no section about what is not promised")
	}
	named := regexp.MustCompile("`\\./([a-z0-9/]+) (Test[A-Za-z0-9]+|[A-Z][A-Za-z0-9]+/[A-Z][A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(promises) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Promise") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test is named for the promise %q", strings.TrimSpace(line))
		}
		for _, m := range tests {
			has := hasText(t, filepath.Join(root, m[1], "*_test.go"), "\nfunc "+m[2]+"(t *testing.T) {")
			if group, name, ok := strings.Cut(m[2], "/"); ok {
				suite := filepath.Join(root, m[1], "*.go")
				has = hasText(t, suite, "\t{\""+group+"\", ") && hasText(t, suite, "\t{\""+name+"\", ")
			}
			if !has {
				t.Errorf("package %s has no test %s", m[1], m[2])
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d promises", rows)
	}
}

// hasText reports whether one of the files that match a pattern contains a text.
func hasText(t *testing.T, pattern, text string) bool {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), text) {
			return true
		}
	}
	return false
}
