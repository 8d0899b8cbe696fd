package gen

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// names is what the code that is generated for a function is called.
type names struct {
	base     string // Add, or WorkerAdd for a method of Worker
	receiver string // Worker, or empty
	exported bool
	args     string // AddArgs
	handle   string // AddTask
}

// namesOf derives the names from a function's own name and, for a method, that
// of its receiver's type.
func namesOf(fn *ast.FuncDecl) names {
	n := names{base: fn.Name.Name, receiver: receiverName(fn)}
	n.exported = ast.IsExported(n.base)
	if n.receiver != "" {
		n.exported = n.exported && ast.IsExported(n.receiver)
		n.base = n.receiver + capitalized(n.base)
		if !n.exported {
			n.base = uncapitalized(n.base)
		}
	}
	n.args, n.handle = n.base+"Args", n.base+"Task"
	return n
}

// forClient returns the names of what is in a client package, which exports all
// that belongs to a task, also to a function that is not exported.
func (n names) forClient(fn *ast.FuncDecl) names {
	n.base = capitalized(fn.Name.Name)
	if n.receiver != "" {
		n.base = capitalized(n.receiver) + n.base
	}
	n.args, n.handle = n.base+"Args", n.base+"Task"
	return n
}

// register returns the name of the function that registers the task, together
// with those of the same receiver. Tasks in test files have one of their own.
func (n names) register(inTestFile bool) string {
	test := ""
	if inTestFile {
		test = "Test"
	}
	if n.receiver != "" && !ast.IsExported(n.receiver) {
		return "register" + capitalized(n.receiver) + test + "Tasks"
	}
	return "Register" + n.receiver + test + "Tasks"
}

// freeWrapper returns what the type of the handle is called, and takes it: it
// is not exported and has to make way for all other names.
func (n names) freeWrapper(taken map[string]bool) string {
	name := uncapitalized(n.handle)
	for i := 1; taken[name]; i++ {
		name = uncapitalized(n.base) + "Handle"
		if i > 1 {
			name += strconv.Itoa(i)
		}
	}
	taken[name] = true
	return name
}

// receiverName returns the name of a method's receiver's type, or nothing.
func receiverName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	for expr := fn.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return "" // an error that the type checker reports
		}
	}
}

// isGeneric reports whether the function, or its receiver's type, has type
// parameters.
func isGeneric(fn *ast.FuncDecl) bool {
	if fn.Type.TypeParams != nil {
		return true
	}
	generic := false
	if fn.Recv != nil {
		ast.Inspect(fn.Recv, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.IndexExpr, *ast.IndexListExpr:
				generic = true
			}
			return true
		})
	}
	return generic
}

// parameter is a parameter as it is written.
type parameter struct {
	number int        // among all parameters, from 1
	ident  *ast.Ident // nil if it has no name
	typ    ast.Expr
	name   string // by which arguments are sent
	field  string // of the struct of arguments
}

// parametersOf returns the parameters that are arguments of the task: all, or
// all but the context.
func parametersOf(fn *ast.FuncDecl, skipContext bool) []parameter {
	var params []parameter
	for _, group := range fn.Type.Params.List {
		if len(group.Names) == 0 {
			params = append(params, parameter{typ: group.Type})
		}
		for _, ident := range group.Names {
			params = append(params, parameter{ident: ident, typ: group.Type})
		}
	}
	for i := range params {
		params[i].number = i + 1
	}
	if skipContext && len(params) > 0 {
		params = params[1:]
	}
	nameParameters(params)
	return params
}

// nameParameters gives each parameter its name, by position if it has none, and
// its field. Names and fields that collide get underscores.
func nameParameters(params []parameter) {
	taken := make(map[string]bool)
	for i := range params {
		if p := &params[i]; p.ident != nil && p.ident.Name != "_" {
			p.name = p.ident.Name
			taken[p.name] = true
		}
	}
	fields := make(map[string]bool)
	for i := range params {
		p := &params[i]
		if p.name == "" {
			p.name = fresh("arg"+strconv.Itoa(i+1), taken)
		}
		p.field = fresh(fieldName(p.name), fields)
	}
}

// fieldType returns the type of the parameter's field: a slice for a variadic
// one.
func (p parameter) fieldType() ast.Expr {
	if variadic, ok := p.typ.(*ast.Ellipsis); ok {
		return &ast.ArrayType{Lbrack: variadic.Ellipsis, Elt: variadic.Elt}
	}
	return p.typ
}

// fresh returns name, with underscores if it is taken, and takes it.
func fresh(name string, taken map[string]bool) string {
	for taken[name] {
		name += "_"
	}
	taken[name] = true
	return name
}

// initialisms are the words that Go programs write in capitals throughout, as
// far as they are likely names of parameters.
var initialisms = []string{
	"acl", "api", "cpu", "css", "csv", "db", "dns", "html", "http", "https", "id", "ip", "json", "jwt", "os",
	"pdf", "rpc", "sha", "sql", "ssh", "tcp", "tls", "ttl", "udp", "ui", "uid", "uri", "url", "uuid", "xml",
}

// fieldName returns the exported name for a parameter: userID becomes UserID,
// and id becomes ID.
func fieldName(param string) string {
	name := strings.TrimLeft(param, "_")
	word := name
	if end := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsLower(r) }); end >= 0 {
		word = name[:end]
	}
	if slices.Contains(initialisms, word) {
		return strings.ToUpper(word) + name[len(word):]
	}
	if name = capitalized(name); ast.IsExported(name) {
		return name
	}
	return "Arg" + name // of digits, or in a script that has no capital letters
}

func capitalized(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

// uncapitalized makes lower case of the first letter, or of a whole word in
// capitals: httpGetTask from HTTPGetTask.
func uncapitalized(s string) string {
	runes := []rune(s)
	for i, r := range runes {
		if !unicode.IsUpper(r) || i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}
