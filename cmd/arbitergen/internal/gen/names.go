package gen

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// names are the names in the code that is generated for a function.
type names struct {
	base     string // Add, or WorkerAdd for a method of Worker
	receiver string // Worker, or empty
	exported bool
	args     string // AddArgs
	handle   string // AddTask
}

// namesOf derives the names from the name of the function and, for a method, the name of its receiver's type.
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

// forClient returns the names in a client package. They are exported, even if the function is not.
func (n names) forClient(fn *ast.FuncDecl) names {
	n.base = capitalized(fn.Name.Name)
	if n.receiver != "" {
		n.base = capitalized(n.receiver) + n.base
	}
	n.args, n.handle = n.base+"Args", n.base+"Task"
	return n
}

// register returns the name of the function that registers the task, with the other tasks of the same receiver. Tasks in
// test files have a function of their own.
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

// freeWrapper chooses the name of the handle's type, and adds it to taken. The type is not exported, so its name avoids all
// others.
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

// receiverName returns the name of the type of a method's receiver, or "".
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
			return "" // the type checker reports the error
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

// parameter is a parameter as it is written in the source.
type parameter struct {
	number int        // among all parameters, from 1
	ident  *ast.Ident // nil if it has no name
	typ    ast.Expr
	name   string // the name under which arguments are sent
	field  string // the field in the struct of arguments
}

// parametersOf returns the parameters that are arguments of the task: all of them, or all except the context.
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

// nameParameters gives each parameter its name and its field. A parameter without a name gets one from its position. Names
// that collide get underscores.
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

// fieldType returns the type of the parameter's field. For a variadic parameter it is a slice.
func (p parameter) fieldType() ast.Expr {
	if variadic, ok := p.typ.(*ast.Ellipsis); ok {
		return &ast.ArrayType{Lbrack: variadic.Ellipsis, Elt: variadic.Elt}
	}
	return p.typ
}

// fresh returns name, with underscores if it is taken, and adds it to taken.
func fresh(name string, taken map[string]bool) string {
	for taken[name] {
		name += "_"
	}
	taken[name] = true
	return name
}

// initialisms are words that Go programs write in capitals, as far as they are likely names of parameters.
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
	return "Arg" + name // it begins with a digit, or its script has no capital letters
}

func capitalized(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

// uncapitalized changes the first letter to lower case, or a whole word in capitals: HTTPGetTask becomes httpGetTask.
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
