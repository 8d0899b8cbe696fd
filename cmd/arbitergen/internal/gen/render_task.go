package gen

import (
	"fmt"
	"go/types"
	"maps"
	"strings"
)

// handle writes the arguments and the handle of a task.
func (r *renderer) handle(t *task) {
	r.arguments(t)
	r.p("\n// %s is the handle of %s, the task %s.", t.names.handle, t.spoken(), t.taskID)
	r.doc(t)
	r.p("var %s = %s{%s}", t.names.handle, t.wrapper, r.define(t))
	r.p("\ntype %s struct{ %s.Task[%s, %s] }", t.wrapper, r.task, t.names.args, r.resultType(t))
	r.methods(t)
	if t.step >= 0 {
		r.step(t)
	}
}

func (r *renderer) arguments(t *task) {
	r.p("\n// %s are the arguments of %s.", t.names.args, t.spoken())
	if len(t.params) == 0 {
		r.p("type %s struct{}", t.names.args)
		return
	}
	r.p("type %s struct {", t.names.args)
	r.fields(t)
	r.p("}")
}

func (r *renderer) fields(t *task) {
	for i, p := range t.params {
		r.p("%s %s %s", p.field, r.typ(p.typ), t.tag(i))
	}
}

// define writes the call of Define. If the directive has options, each is on a line of its own, with a comment if its value is
// hard to read.
func (r *renderer) define(t *task) string {
	head := fmt.Sprintf("%s.Define[%s, %s](%q", r.task, t.names.args, r.resultType(t), t.taskID)
	hash := fmt.Sprintf("%s.Schema(%#016x)", r.task, t.schema.hash())
	if len(t.opts.settings) == 0 {
		return head + ", " + hash + ")"
	}
	var b strings.Builder
	b.WriteString(head + ",\n")
	for _, s := range t.opts.settings {
		b.WriteString(r.functions(t, s.code(r.task)) + ",")
		if s.note != "" {
			b.WriteString(" // " + s.note)
		}
		b.WriteByte('\n')
	}
	return b.String() + hash + ",\n)"
}

// methods writes the methods that have the parameters of the function. Their names can hide other names in the bodies, so
// names that the bodies use are avoided.
func (r *renderer) methods(t *task) {
	used := map[string]bool{t.names.args: true, t.wrapper: true}
	params := visible(t.params, used)
	names := locals(used, params, "t", "ctx", "s", "err")
	self, ctx, submitter, errName := names[0], names[1], names[2], names[3]
	recv := fmt.Sprintf("func (%s %s)", self, t.wrapper)
	sender := []string{ctx + " " + r.context + ".Context", submitter + " " + r.task + ".Submitter"}
	args := fmt.Sprintf("%s{%s}", t.names.args, join(params))

	// gofmt keeps short functions on one line.
	r.p("\nfunc (t %s) With(opts ...%s.Option) %s { return %s{t.Task.With(opts...)} }", t.wrapper, r.task, t.wrapper, t.wrapper)
	r.p("\n%s Bind(%s) %s.Call[%s] { return %s.Task.Bind(%s) }", recv,
		r.parameters(nil, params, t.variadic()), r.task, r.resultType(t), self, args)
	r.p("\n%s Apply(%s) (*%s.Future[%s], error) {", recv, r.parameters(sender, params, t.variadic()), r.task, r.resultType(t))
	r.p("return %s.Task.Apply(%s, %s, %s)", self, ctx, submitter, args)
	r.p("}")
	if t.result != nil {
		r.p("\n%s Call(%s) (%s, error) {", recv, r.parameters(sender, params, t.variadic()), r.typ(t.result))
		r.p("return %s.Task.Call(%s, %s, %s)", self, ctx, submitter, args)
	} else {
		r.p("\n%s Call(%s) error {", recv, r.parameters(sender, params, t.variadic()))
		r.p("_, %s := %s.Task.Call(%s, %s, %s)", errName, self, ctx, submitter, args)
		r.p("return %s", errName)
	}
	r.p("}")
}

// step writes the method Step, which binds all parameters except the one that gets the previous step's result.
func (r *renderer) step(t *task) {
	hidden := maps.Clone(r.scope)
	for _, name := range types.Universe.Names() {
		hidden[name] = true
	}
	var others []param
	var bound []string
	params := visible(t.params, hidden)
	for i, p := range params {
		if i != t.step {
			others = append(others, p)
			bound = append(bound, fmt.Sprintf("%q: %s", t.params[i].name, p.name))
		}
	}
	upstream := t.params[t.step]
	upstreamType := upstream.typ
	if p, ok := upstream.typ.Underlying().(*types.Pointer); ok && upstream.optional {
		upstreamType = p.Elem() // only a call without a step before it passes nil
	}
	variadic := t.variadic() && t.step != len(t.params)-1
	self := locals(r.scope, others, "t")[0]
	named := "nil"
	if len(bound) > 0 {
		named = fmt.Sprintf("map[string]any{%s}", strings.Join(bound, ", "))
	}
	r.p("\n// Step binds all parameters but %s, which gets the result of the step before.", upstream.name)
	r.p("func (%s %s) Step(%s) %s.Step[%s, %s] {", self, t.wrapper,
		r.parameters(nil, others, variadic), r.task, r.typ(upstreamType), r.resultType(t))
	r.p("return %s.NewStep[%s](%s.Task, %q, %s)", r.task, r.typ(upstreamType), self, upstream.name, named)
	r.p("}")
}

// visible returns the parameters with names that do not hide any of the others.
func visible(params []param, others map[string]bool) []param {
	renamed := make([]param, len(params))
	taken := make(map[string]bool)
	for _, p := range params {
		taken[p.name] = true
	}
	for i, p := range params {
		for others[p.name] || p.name != params[i].name && taken[p.name] {
			p.name += "_"
		}
		renamed[i] = p
	}
	return renamed
}

// join returns the names of the parameters, separated by commas.
func join(params []param) string {
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}
