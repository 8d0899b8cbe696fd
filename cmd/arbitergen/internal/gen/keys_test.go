package gen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKeysCoverOptions checks that each option of package task has a key, or is listed as one without.
func TestKeysCoverOptions(t *testing.T) {
	without := map[string]string{
		"Deadline":    "a point in time is for one call",
		"ETA":         "a point in time is for one call",
		"WaitForRoom": "whether a call waits depends on the caller, whose context bounds the wait",
		"Spread":      "a call that is sent alone is refused with it",
		"Schema":      "generated code always has it",
		"Detach":      "it removes Inherit",
		"InProcess":   "it removes Isolated",
		"NoMeta":      "it removes Meta",
		"OnError":     "a rule is made of Go values; give it to task.Handle, or to minion.OnError",
		"Invalid":     "it reports an error of the program",
		"FairKey":     "a key that is the same for all calls makes no turns; fair is FairKeyFrom",
		"Sequence":    "the key comes from an argument; sequence is SequenceFrom",
		"NoLane":      "it removes Priority, FairKey, Sequence and Limit",

		"UniqueUntilDone": "it removes UniqueFor and UniqueUntilStart",
	}
	d, ok := ast.ParseDirective(1, directive+" name=a queue=q delay=1s within=1s timeout=1s slots=4 retries=1 backoff=constant:1s"+
		" retention=1s dead-retention=1s unique=x unique-for=1s unique-until=start on-conflict=latest conflict-max-age=1s"+
		" meta=a:b isolated inherit upstream=x optional=x default=y:1"+
		" priority=7 fair=x sequence=x on-failure=stop limit=mail key=x cost=y.Size")
	opts, wrong := parseDirective(d)
	if !ok || len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for _, key := range []string{"unique-in=s:k", "unique-key=k"} { // a directive has only one of these and unique
		other, ok := ast.ParseDirective(1, directive+" "+key)
		alone, wrong := parseDirective(other)
		if !ok || len(wrong) > 0 {
			t.Fatal(wrong)
		}
		opts.settings = append(opts.settings, alone.settings...)
		maps.Copy(opts.at, alone.at)
	}
	for _, k := range keyList {
		if _, used := opts.at[k.name]; !used {
			t.Errorf("the directives of this test have no %s", k.name)
		}
	}
	files, err := filepath.Glob("../../../../task/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results == nil || len(fn.Type.Results.List) != 1 {
				continue
			}
			if result, ok := fn.Type.Results.List[0].Type.(*ast.Ident); !ok || result.Name != "Option" {
				continue
			}
			found++
			hasKey := slices.ContainsFunc(opts.settings, func(s setting) bool { return s.option == fn.Name.Name })
			if _, excused := without[fn.Name.Name]; hasKey == excused {
				t.Errorf("task.%s: it has a key: %v, and is listed as one without: %v", fn.Name.Name, hasKey, excused)
			}
		}
	}
	if found < len(without)+len(opts.settings) {
		t.Errorf("%d options in package task, want %d keys and %d without", found, len(opts.settings), len(without))
	}
}
