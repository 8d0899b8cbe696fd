package gen

import (
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"github.com/go-arbiter/arbiter/broker"
)

// The keys fair, sequence, key and cost name an argument, from which each call gets a key or a cost. Their options have a function
// of the arguments, which the generator writes.

// argUse is a key of the directive that names an argument.
type argUse struct {
	pos  token.Pos
	key  string // the key of the directive
	path string // a parameter, or a field of one, such as order.Tenant

	// The following fields are known after the types.
	selector string // from the struct of arguments, such as Order.Tenant
	convert  string // a format that makes the result of the selected value, with strconv. for the package if it needs that
}

// limitUse is a limit of the directive with its key and cost.
type limitUse struct {
	name      string
	key, cost *argUse // nil if the directive has none
}

// cost reports whether the argument is a cost, which is an int; else it is a key, a string.
func (a *argUse) cost() bool { return a.key == "cost" }

// String writes the key as the directive does.
func (a *argUse) String() string { return a.key + "=" + a.path }

// useMark encloses the index of an argUse in the args of a setting, in place of its function.
const useMark = "\x01"

// use adds a key that names an argument.
func (o *options) use(key, path string) (*argUse, error) {
	for segment := range strings.SplitSeq(path, ".") {
		if !token.IsIdentifier(segment) {
			return nil, errors.New("want a parameter, or a field of one, as in order.Tenant")
		}
	}
	a := &argUse{pos: o.at[key], key: key, path: path}
	o.uses = append(o.uses, a)
	return a, nil
}

func (o *options) setPriority(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > broker.MaxPriority {
		return fmt.Errorf("want a whole number from 0 to %d", broker.MaxPriority)
	}
	o.add("Priority", strconv.Itoa(n))
	return nil
}

func (o *options) setFair(value string) error {
	a, err := o.use("fair", value)
	if err == nil {
		o.add("FairKeyFrom", o.mark(a))
	}
	return err
}

func (o *options) setSequence(value string) (err error) {
	o.sequence, err = o.use("sequence", value)
	return err
}

func (o *options) setOnFailure(value string) error {
	if value != "stop" {
		return errors.New("want on-failure=stop; without it the sequence goes on")
	}
	o.stops = true
	return nil
}

func (o *options) setLimit(name string) error {
	if err := checkName("limit", name); err != nil {
		return err
	}
	if slices.ContainsFunc(o.limits, func(l limitUse) bool { return l.name == name }) {
		return fmt.Errorf("%s is given twice", name)
	}
	if o.limits = append(o.limits, limitUse{name: name}); len(o.limits) > broker.MaxCharges {
		return fmt.Errorf("a task has at most %d limits", broker.MaxCharges)
	}
	return nil
}

// setOfLimit sets the key or the cost of the limit before it.
func (o *options) setOfLimit(key, value string) error {
	if len(o.limits) == 0 {
		return errors.New("it belongs to a limit: write limit=NAME before it")
	}
	l := &o.limits[len(o.limits)-1]
	to := &l.key
	if key == "cost" {
		to = &l.cost
	}
	if *to != nil {
		return fmt.Errorf("limit %s has a %s already: %s", l.name, key, (*to).path)
	}
	a, err := o.use(key, value)
	*to = a
	return err
}

// finish adds the settings that several keys make together. It returns a complaint about a key that lacks another one.
func (o *options) finish() []complaint {
	if o.stops && o.sequence == nil {
		return []complaint{{o.at["on-failure"], "on-failure=stop belongs to a sequence: add sequence=ARGUMENT", nil}}
	}
	if o.sequence != nil {
		args := o.mark(o.sequence)
		if o.stops {
			args += ", " + taskPrefix + "StopOnFailure()"
		}
		o.add("SequenceFrom", args)
	}
	for _, l := range o.limits {
		args := strconv.Quote(l.name)
		if l.key != nil {
			args += ", " + taskPrefix + "KeyedFrom(" + o.mark(l.key) + ")"
		}
		if l.cost != nil {
			args += ", " + taskPrefix + "CostsFrom(" + o.mark(l.cost) + ")"
		}
		o.add("Limit", args)
	}
	return nil
}

// mark returns what stands for the function of a key in the args of a setting.
func (o *options) mark(a *argUse) string {
	return useMark + strconv.Itoa(slices.Index(o.uses, a)) + useMark
}

// readLane finds the arguments that keys of the directive name. It reports wrong ones and returns false.
func (t *task) readLane() bool {
	ok := true
	for _, a := range t.opts.uses {
		ok = t.readUse(a) && ok
	}
	return ok
}

func (t *task) readUse(a *argUse) bool {
	name, fields, _ := strings.Cut(a.path, ".")
	i := t.index(name)
	if i < 0 {
		t.noParameter(a.pos, name)
		return false
	}
	wrong := func(msg string, help ...string) bool {
		t.errorAt(a.pos, a.String()+": "+msg, help...)
		return false
	}
	if i == t.step {
		return wrong(name+" gets the result of the step before, which is not known when the call is sent", "take another parameter")
	}
	p := t.params[i]
	typ, at := p.typ, name
	a.selector = p.field
	if fields != "" {
		for field := range strings.SplitSeq(fields, ".") {
			next, msg := t.fieldOf(typ, at, field)
			if msg != "" {
				return wrong(msg)
			}
			typ, at = next, at+"."+field
			a.selector += "." + field
		}
	}
	if a.convert = a.conversion(typ); a.convert == "" {
		want := "a key is a string, an integer, a bool, or a type with a method String() string"
		if a.cost() {
			want = "a cost is an integer"
		}
		return wrong(fmt.Sprintf("%s is of type %s: %s", at, types.TypeString(typ, t.unit.qualifier), want),
			"take a parameter or a field of such a type, or give calls the option with a function of your own: "+t.names.handle+".With(task."+a.option()+"(…))")
	}
	return true
}

// option returns the option of package task with which a program does what the key does.
func (a *argUse) option() string {
	switch a.key {
	case "fair":
		return "FairKeyFrom"
	case "sequence":
		return "SequenceFrom"
	}
	return "Limit"
}

// fieldOf returns the type of a field of a struct. At is the path to the struct, for the message.
func (t *task) fieldOf(typ types.Type, at, field string) (of types.Type, msg string) {
	shown := types.TypeString(typ, t.unit.qualifier)
	switch typ.Underlying().(type) {
	case *types.Struct:
	case *types.Pointer:
		return nil, fmt.Sprintf("%s is a pointer (%s), which can be nil: take a parameter or a field that needs no pointer", at, shown)
	default:
		return nil, fmt.Sprintf("%s is of type %s, which has no fields", at, shown)
	}
	obj, _, indirect := types.LookupFieldOrMethod(typ, false, t.unit.pkg, field)
	v, ok := obj.(*types.Var)
	switch {
	case !ok:
		known := fieldNames(typ.Underlying().(*types.Struct))
		if len(known) == 0 {
			return nil, fmt.Sprintf("%s has no field %s, and no exported fields", shown, field)
		}
		return nil, fmt.Sprintf("%s has no field %s%s; its fields: %s", shown, field, suggest(field, known), strings.Join(known, ", "))
	case !v.Exported():
		return nil, fmt.Sprintf("the field %s of %s is not exported, and so is not an argument of the task", field, shown)
	case indirect:
		return nil, fmt.Sprintf("the field %s of %s is in an embedded pointer, which can be nil", field, shown)
	}
	return v.Type(), ""
}

// fieldNames returns the exported fields of a struct.
func fieldNames(u *types.Struct) []string {
	var names []string
	for f := range u.Fields() {
		if f.Exported() {
			names = append(names, f.Name())
		}
	}
	return names
}

// conversion returns the format that makes a key or a cost of a value of the type, or "" if none can be made.
func (a *argUse) conversion(typ types.Type) string {
	basic, _ := typ.Underlying().(*types.Basic)
	info := types.BasicInfo(0)
	if basic != nil {
		info = basic.Info()
	}
	exact := func(kind types.BasicKind) bool { return types.Identical(typ, types.Typ[kind]) }
	switch {
	case a.cost() && exact(types.Int):
		return "%s"
	case a.cost() && info&types.IsInteger != 0:
		return "int(%s)"
	case a.cost():
		return ""
	case exact(types.String):
		return "%s"
	case info&types.IsString != 0:
		return "string(%s)"
	case exact(types.Int):
		return "strconv.Itoa(%s)"
	case info&types.IsUnsigned != 0:
		return "strconv.FormatUint(uint64(%s), 10)"
	case info&types.IsInteger != 0:
		return "strconv.FormatInt(int64(%s), 10)"
	case exact(types.Bool):
		return "strconv.FormatBool(%s)"
	case info&types.IsBoolean != 0:
		return "strconv.FormatBool(bool(%s))"
	case basic == nil && hasString(typ):
		return "%s.String()"
	}
	return ""
}

// hasString reports whether a variable of the type, which is not nil, has a method String.
func hasString(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Interface:
		return false
	}
	return hasMethod(types.NewMethodSet(types.NewPointer(t)), "String")
}

// functions puts the functions of arguments in place of their marks in the code of a setting.
func (r *renderer) functions(t *task, code string) string {
	parts := strings.Split(code, useMark)
	for i := 1; i < len(parts); i += 2 {
		n, err := strconv.Atoi(parts[i])
		if err != nil { // marks come in pairs, and only mark writes them
			panic(err)
		}
		parts[i] = r.function(t, t.opts.uses[n])
	}
	return strings.Join(parts, "")
}

// function writes the function that makes a key or a cost of the arguments.
func (r *renderer) function(t *task, a *argUse) string {
	convert := a.convert
	if strings.HasPrefix(convert, "strconv.") {
		convert = r.imports.add("strconv", "strconv") + strings.TrimPrefix(convert, "strconv")
	}
	args, result := locals(r.scope, nil, "a")[0], "string"
	if a.cost() {
		result = "int"
	}
	return fmt.Sprintf("func(%s %s) %s { return %s }", args, t.names.args, result, fmt.Sprintf(convert, args+"."+a.selector))
}
