package main

import (
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/cmd/arbitergen/internal/gen"
)

// keyLine matches a line of a list of keys, such as "    queue=NAME   the queue it is sent to". A line without a key has
// more white space in front.
var keyLine = regexp.MustCompile(`^(?:    |\t)([a-z][a-z-]*(?:=\S+(?: or [a-z]+:\S+)?)?)(?: |$)`)

// keysIn returns the keys that a text lists between two lines, with the forms of their values. If a key has several lines,
// one for each form, the forms are joined with "or".
func keysIn(t *testing.T, text, from, to string) []string {
	t.Helper()
	_, list, began := strings.Cut(text, from)
	list, _, ended := strings.Cut(list, to)
	if !began || !ended {
		t.Fatalf("the text has no list of keys between %q and %q", from, to)
	}
	var keys []string
	for line := range strings.Lines(list) {
		m := keyLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		name, form, _ := strings.Cut(m[1], "=")
		if last := len(keys) - 1; last >= 0 && strings.HasPrefix(keys[last], name+"=") {
			keys[last] += " or " + form
			continue
		}
		keys = append(keys, m[1])
	}
	return keys
}

// The help of the command and its documentation list the keys that the parser accepts, all of them and no others, in the
// same order and with the same forms.
func TestKeysAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []struct {
		what       string
		keys, want []string
	}{
		{"usage", keysIn(t, usage, "Keys of the comment, all optional:\n", "An ARGUMENT is"), gen.Keys()},
		{"doc.go", keysIn(t, file.Doc.Text(), "# Keys\n", "The keys meta, optional and default can be repeated,"), gen.Keys()},
		{"usage, of schedules", keysIn(t, usage, "Its keys:\n", "Packages are named"), gen.ScheduleKeys()},
		{"doc.go, of schedules", keysIn(t, file.Doc.Text(), "have the meaning of the keys:\n", "A TIME is"), gen.ScheduleKeys()},
	} {
		if !slices.Equal(list.keys, list.want) {
			t.Errorf("%s lists the keys\n%s\nwant\n%s", list.what, strings.Join(list.keys, "\n"), strings.Join(list.want, "\n"))
		}
	}
}
