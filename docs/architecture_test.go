package docs

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const architecture = "docs/architecture.md"

// span matches the text of a code span.
var span = regexp.MustCompile("`([^`]+)`")

// section returns the text of a document from a heading to the next one of the same
// level.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, file), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	text, _, _ := strings.Cut(rest, "\n"+level+" ")
	return text
}

// TestFloors compares the map of floors with the packages: each package is in exactly one
// row, and imports only packages of its own floor and of the floors below. No package of a
// floor imports a package for tests. Imports of test files do not count.
func TestFloors(t *testing.T) {
	t.Parallel()
	floors, support := floorMap(t)
	found := packages(t)
	for pkg := range found {
		if _, isFloor := floors[pkg]; !isFloor && !slices.Contains(support, pkg) {
			t.Errorf("%s does not name the package %s", architecture, pkg)
		}
	}
	for _, pkg := range support {
		if _, exists := found[pkg]; !exists {
			t.Errorf("%s names %s, which is no package", architecture, pkg)
		}
	}
	imports := 0
	for pkg, floor := range floors {
		deps, exists := found[pkg]
		if !exists {
			t.Errorf("%s names %s, which is no package", architecture, pkg)
		}
		for _, dep := range deps {
			imports++
			switch below, isFloor := floors[dep]; {
			case !isFloor:
				t.Errorf("%s imports %s, which is on no floor", pkg, dep)
			case below < floor:
				t.Errorf("%s imports %s, which is on a higher floor", pkg, dep)
			}
		}
	}
	if len(floors) < 20 || imports < 50 {
		t.Errorf("only %d packages and %d imports were found", len(floors), imports)
	}
}

// floorMap reads the tables of the map: the number of the floor of each package, 0 is the
// highest, and the packages for tests.
func floorMap(t *testing.T) (floors map[string]int, support []string) {
	t.Helper()
	floors = make(map[string]int)
	floor, columns := -1, 0
	for line := range strings.Lines(section(t, architecture, "## The floors")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 {
			continue
		}
		cells = cells[1 : len(cells)-1]
		named := span.FindAllStringSubmatch(cells[len(cells)-2], -1)
		if len(named) == 0 { // the head of a table
			columns = len(cells)
			continue
		}
		if len(cells) != columns {
			t.Fatalf("%s: a row of %d cells in a table of %d: %s", architecture, len(cells), columns, line)
		}
		if columns == 3 && strings.TrimSpace(cells[0]) != "" {
			floor++
		}
		for _, m := range named {
			if _, twice := floors[m[1]]; twice || slices.Contains(support, m[1]) {
				t.Errorf("%s names the package %s twice", architecture, m[1])
			}
			if columns == 3 {
				floors[m[1]] = floor
			} else {
				support = append(support, m[1])
			}
		}
	}
	return floors, support
}

// packages returns the folders of the repository that have Go files, each with the packages
// of this module that its files import, test files aside.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "testdata" || name != ".." && strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(folder)
		if _, known := found[pkg]; !known {
			found[pkg] = nil
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			dep, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if dep, ours := strings.CutPrefix(dep, module+"/"); ours && !slices.Contains(found[pkg], dep) {
				found[pkg] = append(found[pkg], dep)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestTours checks the tours through the code, and the places of usual changes: each has at most
// ten files, in numbered items that begin with the name of a file that exists. Other names in an
// item occur in its file.
func TestTours(t *testing.T) {
	t.Parallel()
	for _, heading := range []string{"## Three tours through the code", "## How to change it"} {
		checkTours(t, heading)
	}
}

// checkTours checks the three tours in a section of the architecture.
func checkTours(t *testing.T, heading string) {
	t.Helper()
	item := regexp.MustCompile("(?m)^([0-9]+)\\. `([^`]+)`: ((?:.+\n)(?:   .+\n)*)")
	number := regexp.MustCompile(`(?m)^[0-9]+\. `)
	name := regexp.MustCompile(`^[A-Za-z]+$`)
	tours := strings.Split(section(t, architecture, heading), "\n### ")[1:]
	if len(tours) != 3 {
		t.Errorf("%s has %d tours in %q, want 3", architecture, len(tours), heading)
	}
	for _, tour := range tours {
		title, _, _ := strings.Cut(tour, "\n")
		stops := item.FindAllStringSubmatch(tour, -1)
		if n := len(number.FindAllString(tour, -1)); n != len(stops) || n < 3 || n > 10 {
			t.Errorf("the tour %q has %d items, and %d of them begin with a file; want 3 to 10, all with a file", title, n, len(stops))
		}
		for i, stop := range stops {
			if stop[1] != strconv.Itoa(i+1) {
				t.Errorf("the tour %q: %s is item %s, want %d", title, stop[2], stop[1], i+1)
			}
			source, err := os.ReadFile(filepath.Join(root, stop[2]))
			if err != nil {
				t.Errorf("the tour %q: %v", title, err)
			}
			for _, m := range span.FindAllStringSubmatch(stop[3], -1) {
				if name.MatchString(m[1]) && !regexp.MustCompile(`\b`+m[1]+`\b`).Match(source) {
					t.Errorf("the tour %q: %s has no %s", title, stop[2], m[1])
				}
			}
		}
	}
}

// TestTestsExist checks the names of tests in the architecture, such as ./docs TestTours. A name of
// two parts is a group and a test of the suite for brokers.
func TestTestsExist(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile("`\\./([a-z/]+) ([A-Za-z]+)(?:/([A-Za-z]+))?`")
	n := 0
	for _, m := range named.FindAllStringSubmatch(read(t, architecture), -1) {
		n++
		wants, files := []string{"\nfunc " + m[2] + "(t *testing.T) {"}, "*_test.go"
		if m[3] != "" {
			wants, files = []string{"\t{\"" + m[2] + "\", ", "\t{\"" + m[3] + "\", "}, "*.go"
		}
		text := sources(t, filepath.Join(root, m[1], files))
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: package %s has no test %s", architecture, m[1], strings.Trim(m[0], "`"))
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d names of tests were found", n)
	}
}

// sources returns the text of all files that match a pattern.
func sources(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestFilesExist checks all names of source files in the architecture.
func TestFilesExist(t *testing.T) {
	t.Parallel()
	n := 0
	for _, m := range span.FindAllStringSubmatch(read(t, architecture), -1) {
		if ext := filepath.Ext(m[1]); ext != ".go" && ext != ".lua" {
			continue
		}
		n++
		if _, err := os.Stat(filepath.Join(root, m[1])); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s names %s, which does not exist", architecture, m[1])
		}
	}
	if n < 20 {
		t.Errorf("only %d names of files were found", n)
	}
}

// TestKeys checks the table of the keys of a queue: package broker/redis makes each key,
// and has a field or method of the name in the last column.
func TestKeys(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	files, err := filepath.Glob(filepath.Join(root, "broker", "redis", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	made := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(source.String()) }
	n := 0
	for line := range strings.Lines(section(t, architecture, "## The keys of a queue in Redis")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 {
			continue
		}
		for _, m := range span.FindAllStringSubmatch(cells[1], -1) {
			n++
			key, _, _ := strings.Cut(m[1], ":")
			if !made(`base ?\+ ?"` + key + `[:"]`) {
				t.Errorf("%s: package broker/redis makes no key %s", architecture, key)
			}
		}
		for _, m := range span.FindAllStringSubmatch(cells[4], -1) {
			if !made(`\b` + m[1] + `(:|\(|,| +string)`) {
				t.Errorf("%s: package broker/redis has no field or method %s", architecture, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d keys were found", n)
	}
}
