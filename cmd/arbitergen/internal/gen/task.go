package gen

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// task is an annotated function with its types.
type task struct {
	*annotated
	unit    *unit
	sig     *types.Signature
	taskID  string // the name of the task
	context bool   // the first parameter is the context
	params  []param
	result  types.Type // nil if there is none
	err     bool       // the last result is an error
	step    int        // the index of the parameter that gets the previous step's result; -1 if there is none
	schema  schema
}

// param is a parameter whose type is known.
type param struct {
	parameter
	typ      types.Type // a slice for a variadic parameter
	optional bool       // a call may omit it; not set for a variadic one
	def      string     // its value in that case; empty for the zero value
}

// variadic reports whether the last parameter is variadic.
func (t *task) variadic() bool { return t.sig.Variadic() }

// recv returns the type of a method's receiver as it is written.
func (t *task) recv() types.Type { return t.sig.Recv().Type() }

// pos returns the position of the function's name.
func (t *task) pos() token.Pos { return t.fn.Name.Pos() }

// tasks returns the tasks of the unit. It reports annotated functions that can't be tasks.
func (u *unit) tasks() []*task {
	var tasks []*task
	for _, a := range u.functions {
		fn, ok := u.defs[a.fn.Name].(*types.Func)
		if !ok {
			continue // its error was reported already
		}
		t := &task{annotated: a, unit: u, sig: fn.Signature(), step: -1}
		if t.read() {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// errorAt reports an error about the task.
func (t *task) errorAt(pos token.Pos, msg string, help ...string) {
	t.fail(pos, Diagnostic{Msg: msg, Help: help})
}

func (t *task) fail(pos token.Pos, d Diagnostic) {
	d.Msg = t.spoken() + ": " + d.Msg
	t.unit.fail(pos, d)
}

// spoken returns the name of the function in messages: Add, or Worker.Add.
func (t *task) spoken() string {
	if t.names.receiver != "" {
		return t.names.receiver + "." + t.fn.Name.Name
	}
	return t.fn.Name.Name
}

// read fills in the task. It returns false if it has reported an error.
func (t *task) read() bool {
	if isGeneric(t.fn) {
		t.errorAt(t.pos(), "a generic function cannot be a task",
			"a task has one signature; annotate a function that calls this one with the types filled in")
		return false
	}
	ok := t.readName()
	ok = t.readParams() && ok
	ok = t.readResults() && ok
	ok = t.readStep() && ok
	ok = t.readOptional() && ok
	ok = t.readUnique() && ok
	ok = t.readLane() && ok
	ok = t.readSchedules() && ok
	if t.unit.inClient(t.annotated) {
		ok = t.checkClient() && ok
	}
	return ok && t.readSchema()
}

func (t *task) readName() bool {
	t.taskID = t.opts.name
	if t.taskID != "" {
		return true // checked with the directive
	}
	t.taskID = t.unit.name + "." + t.spoken()
	if err := checkName("task", t.taskID); err != nil {
		t.errorAt(t.pos(), fmt.Sprintf("its default name %s is %v", t.taskID, err), "choose a name with "+directive+" name=NAME")
		return false
	}
	return true
}

func (t *task) readParams() bool {
	ok := true
	vars := slices.Collect(t.sig.Params().Variables())
	if t.context = len(vars) > 0 && isContext(vars[0].Type()); t.context {
		vars = vars[1:]
	}
	for i, p := range parametersOf(t.fn, t.context) {
		t.params = append(t.params, param{parameter: p, typ: vars[i].Type()})
		if isContext(vars[i].Type()) {
			t.errorAt(p.pos(), fmt.Sprintf("parameter %d: a context must be the first parameter", p.number))
			ok = false
		}
	}
	return ok
}

func isContext(t types.Type) bool { return isNamed(t, "context", "Context") }

// pos returns the position of the parameter.
func (p parameter) pos() token.Pos {
	if p.ident != nil {
		return p.ident.Pos()
	}
	return p.typ.Pos()
}

func (t *task) readResults() bool {
	results := slices.Collect(t.sig.Results().Variables())
	if n := len(results); n > 0 && isError(results[n-1].Type()) {
		t.err = true
		results = results[:n-1]
	}
	switch {
	case len(results) == 0:
	case len(results) == 1 && !isError(results[0].Type()):
		t.result = results[0].Type()
	default:
		t.errorAt(t.fn.Type.Results.Pos(), "cannot return "+types.TypeString(t.sig.Results(), t.unit.qualifier),
			"accepted results: none, (error), (R) and (R, error), with one type R that can be encoded")
		return false
	}
	return true
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }

// readStep finds the parameter that gets the result of the step before.
func (t *task) readStep() bool {
	name := t.opts.upstream
	if name == "" {
		name = "upstream"
	}
	t.step = t.index(name)
	if t.step >= 0 || t.opts.upstream == "" {
		return true
	}
	t.noParameter(t.opts.at["upstream"], name)
	return false
}

// index returns the index of the parameter with that name, or -1.
func (t *task) index(name string) int {
	return slices.IndexFunc(t.params, func(p param) bool { return p.name == name })
}

// noParameter reports that the directive names a parameter that does not exist.
func (t *task) noParameter(pos token.Pos, name string) {
	known := make([]string, len(t.params))
	for i, p := range t.params {
		known[i] = p.name
	}
	t.errorAt(pos, fmt.Sprintf("there is no parameter %s%s", name, suggest(name, known)),
		"its parameters: "+strings.Join(known, ", "))
}

// qualifier returns the name of a package in messages.
func (u *unit) qualifier(pkg *types.Package) string {
	if pkg == u.pkg {
		return ""
	}
	return pkg.Name()
}

// duplicates reports tasks with the same name. A task in a test file can't be in the same program as tasks of other packages.
func duplicates(tasks []*task) {
	byName := make(map[string][]*task)
	for _, t := range tasks {
		meets := func(other *task) bool {
			return other.unit.dir == t.unit.dir || !other.file.test && !t.file.test
		}
		if i := slices.IndexFunc(byName[t.taskID], meets); i >= 0 {
			other := byName[t.taskID][i]
			t.errorAt(t.namePos(), fmt.Sprintf("the task name %s is taken by %s at %s",
				t.taskID, other.spoken(), other.unit.place(other.pos())),
				"choose another with "+directive+" name=NAME")
			other.unit.failed = true
		}
		byName[t.taskID] = append(byName[t.taskID], t)
	}
}

// namePos returns the position of the name in the directive, or else of the function.
func (t *task) namePos() token.Pos {
	if pos, ok := t.opts.at["name"]; ok {
		return pos
	}
	return t.pos()
}
