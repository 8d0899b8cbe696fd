package gen

import (
	"fmt"
	"go/types"
	"strings"
)

// registerGroups groups the tasks by the function that registers them, in the order of their first tasks.
func registerGroups(tasks []*task) [][]*task {
	var groups [][]*task
	index := make(map[string]int)
	for _, t := range tasks {
		i, ok := index[t.names.receiver]
		if !ok {
			i = len(groups)
			index[t.names.receiver] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}

// register writes the function that registers the tasks of one receiver, or the tasks that are no methods.
func (r *renderer) register(tasks []*task) {
	first := tasks[0]
	names := locals(r.scope, nil, "r", "recv", "ctx", "a")
	registrar, recv := names[0], ""
	params := fmt.Sprintf("%s %s.Registrar", registrar, r.task)
	what := "the tasks of this package"
	if first.unit.inTestFile(first.annotated) {
		what = "the tasks in test files"
	}
	if first.names.receiver != "" {
		recv = names[1] + "."
		params += fmt.Sprintf(", %s %s", names[1], r.receiver(tasks))
		what = "the tasks of " + names[1]
	}
	r.p("\n// %s registers %s: all, or none and an error.", first.registerName(), what)
	r.p("func %s(%s) error {", first.registerName(), params)
	r.p("return %s.Register(", registrar)
	for _, t := range tasks {
		r.implement(t, recv, names[2], names[3])
	}
	r.p(")\n}")
}

// receiver returns the type of the receiver that has all the methods: the pointer if one of them needs it.
func (r *renderer) receiver(tasks []*task) string {
	recv := tasks[0].recv()
	for _, t := range tasks {
		if _, pointer := types.Unalias(t.recv()).(*types.Pointer); pointer {
			recv = t.recv()
		}
	}
	return r.typ(recv)
}

// implement writes one argument of Register, a function that calls the task's function.
func (r *renderer) implement(t *task, recv, ctx, args string) {
	var passed []string
	ctxParam := "_"
	if t.context {
		ctxParam, passed = ctx, append(passed, ctx)
	}
	for _, p := range t.params {
		passed = append(passed, args+"."+p.field)
	}
	argsParam := args
	if len(t.params) == 0 {
		argsParam = "_"
	}
	list := strings.Join(passed, ", ")
	if t.variadic() {
		list += "..."
	}
	call := fmt.Sprintf("%s%s(%s)", recv, t.fn.Name.Name, list)

	r.p("%s.Implement(%s%s.Task, func(%s %s.Context, %s %s%s) (%s, error) {",
		r.task, r.handles, t.names.handle, ctxParam, r.context, argsParam, r.handles, t.names.args, r.resultType(t))
	switch none := r.task + ".None{}"; {
	case t.result != nil && t.err:
		r.p("return %s", call)
	case t.result != nil:
		r.p("return %s, nil", call)
	case t.err:
		r.p("return %s, %s", none, call)
	default:
		r.p("%s\nreturn %s, nil", call, none)
	}
	r.p("}),")
}
