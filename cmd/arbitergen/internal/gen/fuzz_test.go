package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// FuzzDirective parses comments as directives. The parser must not panic, report a position outside of the comment, or
// accept a wrong name.
func FuzzDirective(f *testing.F) {
	for _, seed := range []string{
		"", " name=add", " name=a queue=b timeout=1m30s retries=3 retention=72h unique-key=k upstream=x",
		" backoff=exponential:1s..10m backoff=constant: delay=1s within=1h dead-retention=0 isolated inherit meta=a:b meta=:",
		" optional=x optional=y default=z:1 default= default=: \"default=s:a b\"",
		" \"unique-key=two words\"", " `unique-key=raw`", " unique=args unique-for=1s", " unique=a,b,a on-conflict=join", " unique=,", " name=\"a b\"", " name", " =", " ==", " name=", " nname=x", "\tname=x\t\u00a0",
		" timeout=-1s", " timeout=9999999999999999h", " priority=128", " retries=1e3", " name=a name=a", " \"", " \xff=\x00",
		" unique-key=" + strings.Repeat("x", broker.MaxUniqueKey+1),
		" priority=9 fair=a.B sequence=a on-failure=stop limit=x key=a.B.C cost=a limit=y key=a", " key=a limit=x key=a key=b on-failure=go fair=a..b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		text := directive + args
		d, ok := ast.ParseDirective(100, text)
		if !ok || d.Tool != directiveTool || d.Name != directiveName {
			return
		}
		opts, wrong := parseDirective(d)
		for _, w := range wrong {
			if w.pos < 100 || w.pos > 100+token.Pos(len(text)) || w.msg == "" {
				t.Errorf("%q: complaint %+v", text, w)
			}
		}
		if len(wrong) == 0 && opts.name != "" && broker.CheckName("task", opts.name) != nil {
			t.Errorf("%q: accepted the name %q", text, opts.name)
		}
	})
}

// FuzzSource runs all stages on source code, most of it broken, except the listing of packages. They must not panic, and if
// there is no error, the code must be generated.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{
		"package p\n//arbiter:task\nfunc F(ctx context.Context, x, _ int, more ...string) (int, error)",
		"package p\nimport \"context\"\n//arbiter:task upstream=x\nfunc F(_ context.Context, x T) (*T, error) { return nil, nil }\ntype T struct { Next []T; T2 }\ntype T2 map[string]T",
		"package p\n//arbiter:task optional=x default=y:1 default=z:`\\n optional=more\nfunc F(x *int, y T, z string, more ...int)\ntype T uint8",
		"package p\n//arbiter:task fair=a.B sequence=a.T.C limit=x key=c cost=a.N limit=y key=d\nfunc F(a A, c bool, d D)\ntype A struct { B string; T struct{ C uint8 }; N int32; *A }\ntype D struct{}\nfunc (*D) String() string",
		"package p\n//arbiter:task\nfunc (T) F() {}\ntype T[P any] struct{}",
		"package p\n//arbiter:task\nfunc (t *T) F(p *P, q Q) {}\ntype T int\ntype P *P\ntype Q []Q",
		"package p\n//arbiter:task\nfunc F(AddArgs, ...fTask) {}\ntype FTask = FTask",
		"package p\n//arbiter:task\nfunc (x.y) F",
		"package p\n//arbiter:task\nfunc",
		"package p\n/*arbiter:task*/func F[",
		"//arbiter:task\npackage p",
		"package p\nimport . \"time\"\n//arbiter:task\nfunc F(x Time, s struct{ *Time }, i interface{ F() }) (e error, c chan int) { return }",
		"package p\nimport \"C\"\n//arbiter:task\nfunc F(x C.int, y map[C.int]int) {}",
		"package p\n//arbiter:task\nfunc F(x [1<<62]int, y [len(z)]int, w unsafe.Pointer) {}\nvar z = FTask",
		"package p\ntype t interface{ t }\n//arbiter:task\nfunc F(x t, y struct{ t }) {}",
		"package p\n//arbiter:task\nfunc (A) F() {}\n//arbiter:task\nfunc AF() {}\ntype A = B\ntype B = A",
		"package p\n//arbiter:task\nfunc F(T) {}\ntype T struct { x [2]T; U; y func(V) }\ntype U struct { T }\ntype V [len(V{})]V",
		"package p\n//arbiter:task\nfunc F(x T[int], y G[int]) {}\ntype T[P any] struct { F *T[[]P]; V T[*P] }\ntype G[P any] []G[map[string]P]",
		"package p\n//arbiter:task\nfunc F(x T[int]) {}\ntype T[P any] struct { *T[[]P] }",
		"package p\n//arbiter:task\nfunc F(FArgs, *GArgs) {}\n//arbiter:task\nfunc G(FArgs, GTask, gTask) {}",
		"package _\n//arbiter:task\nfunc F() {}",
		"package p\n//arbiter:task\nfunc F(int, string, x y, ...z) (", "\ufeff", "package", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		u, tasks := checkSource(src)
		if u == nil || u.failed || len(tasks) == 0 {
			return
		}
		scope := u.checkNames(tasks)
		if u.failed {
			return
		}
		if _, err := u.render(tasks, "", scope); err != nil {
			t.Fatal(err)
		}
	})
}

// checkSource runs the stages up to the tasks on one file. Three packages of the standard library are replaced by stubs.
func checkSource(src string) (*unit, []*task) {
	p := &program{fset: token.NewFileSet(), diags: new(diagnostics), listed: map[string]*listed{}, units: map[string]*unit{}}
	u := p.newUnit(&listed{ImportPath: "p", Dir: "/nowhere"}, []*file{{path: "/nowhere/p.go", src: []byte(src)}})
	u.parse()
	u.findFunctions()
	if len(u.functions) == 0 {
		return u, nil
	}
	u.needs = map[string]bool{"context": true, "time": true, "sync": true}
	u.declare()
	u.check(&unitImporter{unit: u, program: p, compiled: stubs{}})
	if u.tainted {
		return u, nil
	}
	return u, u.tasks()
}

// stubs imports packages with only one type each, and package time with two.
type stubs struct{}

// Import implements [types.Importer].
func (stubs) Import(path string) (*types.Package, error) {
	pkg := types.NewPackage(path, path)
	name, typ := "Time", types.Type(types.NewStruct(nil, nil))
	switch path {
	case "context":
		name, typ = "Context", types.NewInterfaceType(nil, nil)
	case "sync":
		name = "Mutex"
	}
	insertType(pkg, name, typ)
	if path == "time" {
		insertType(pkg, "Duration", types.Typ[types.Int64])
	}
	pkg.MarkComplete()
	return pkg, nil
}

func insertType(pkg *types.Package, name string, typ types.Type) {
	obj := types.NewTypeName(token.NoPos, pkg, name, nil)
	types.NewNamed(obj, typ, nil)
	pkg.Scope().Insert(obj)
}
