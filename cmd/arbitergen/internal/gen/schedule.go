package gen

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/schedule"
	api "github.com/go-arbiter/arbiter/task"
)

// A directive //arbiter:schedule beside //arbiter:task declares a schedule of the task. A function can have several. The schedules
// of a package are generated into a function Schedules.

// The directive, its name as go/ast splits it, and the package that the generated code imports.
const (
	scheduleDirective = "//arbiter:schedule"
	scheduleName      = "schedule"
	schedulePath      = "github.com/go-arbiter/arbiter/schedule"
)

// planned is one such directive.
type planned struct {
	pos    token.Pos
	name   string // empty for the name of the task
	def    schedule.Definition
	when   string // the When, in Go syntax; \x00 is in front of names of package schedule, and \x01 of those of package time
	zone   string
	from   time.Time
	days   []string
	fields []string // the other fields, likewise
	args   []argument
	values string // the arguments in Go syntax, as fields of their struct

	at map[string]token.Pos
}

// argument is the value of a parameter.
type argument struct {
	pos         token.Pos
	param, text string
}

// scheduleKey is a key of the directive.
type scheduleKey struct {
	name, form string // form is empty if it has no value
	repeated   bool
	set        func(s *planned, value string) error
}

func (k scheduleKey) usage() string { return key{name: k.name, form: k.form}.usage() }

// scheduleKeys has all keys, in the order of the documentation.
var scheduleKeys = []scheduleKey{
	{name: "name", form: "NAME", set: func(s *planned, v string) error {
		s.name = v
		return checkName("schedule", v)
	}},
	{name: "cron", form: "EXPRESSION", set: func(s *planned, v string) error {
		s.def.When, s.when = schedule.Cron(v), "\x00Cron("+strconv.Quote(v)+")"
		return nil
	}},
	{name: "zone", form: "ZONE", set: func(s *planned, v string) error {
		s.zone = v
		return nil
	}},
	{name: "every", form: "DURATION", set: func(s *planned, v string) error {
		d, err := parseDuration(v, schedule.MinInterval)
		s.def.When, s.when = schedule.Every(d), "\x00Every("+nanoseconds(d)+")"
		return err
	}},
	{name: "from", form: "TIME", set: func(s *planned, v string) (err error) {
		s.from, err = parseTime(v)
		return err
	}},
	{name: "start", form: "TIME", set: func(s *planned, v string) (err error) {
		s.def.Start, err = parseTime(v)
		s.field("Start", timeCode(s.def.Start))
		return err
	}},
	{name: "end", form: "TIME", set: func(s *planned, v string) (err error) {
		s.def.End, err = parseTime(v)
		s.field("End", timeCode(s.def.End))
		return err
	}},
	{name: "runs", form: "NUMBER", set: func(s *planned, v string) (err error) {
		if s.def.Runs, err = strconv.Atoi(v); err != nil || s.def.Runs < 1 {
			return errors.New("want a whole number from 1 on")
		}
		s.field("Runs", strconv.Itoa(s.def.Runs))
		return nil
	}},
	{name: "except", form: "DAY", repeated: true, set: func(s *planned, v string) error {
		s.def.Except, s.days = append(s.def.Except, schedule.Day(v)), append(s.days, v)
		if _, err := time.Parse(time.DateOnly, v); err != nil {
			return errors.New("want a day such as 2026-12-25")
		}
		return nil
	}},
	{name: "jitter", form: "DURATION", set: func(s *planned, v string) (err error) {
		s.def.Jitter, err = parseDuration(v, 0)
		s.field("Jitter", nanoseconds(s.def.Jitter)+", // "+v)
		return err
	}},
	{name: "overlap", form: "allow|skip|queue-one|queue-all|cancel", set: func(s *planned, v string) error {
		names := map[string]string{"allow": "OverlapAllow", "skip": "OverlapSkip", "queue-one": "OverlapQueueOne", "queue-all": "OverlapQueueAll", "cancel": "OverlapCancel"}
		for o := schedule.OverlapAllow; o <= schedule.OverlapCancel; o++ {
			if o.String() == v {
				s.def.Overlap = o
				s.field("Overlap", "\x00"+names[v])
				return nil
			}
		}
		return errors.New("want allow, skip, queue-one, queue-all or cancel")
	}},
	{name: "missed", form: "once|skip|all", set: func(s *planned, v string) error {
		names := map[string]string{"once": "MissedOnce", "skip": "MissedSkip", "all": "MissedAll"}
		for m := schedule.MissedOnce; m <= schedule.MissedAll; m++ {
			if m.String() == v {
				s.def.Missed = m
				s.field("Missed", "\x00"+names[v])
				return nil
			}
		}
		return errors.New("want once, skip or all")
	}},
	{name: "window", form: "DURATION", set: func(s *planned, v string) (err error) {
		s.def.Window, err = parseDuration(v, time.Millisecond)
		s.field("Window", nanoseconds(s.def.Window)+", // "+v)
		return err
	}},
	{name: "pause-on-failure", set: func(s *planned, _ string) error {
		s.def.PauseOnFailure = true
		s.field("PauseOnFailure", "true")
		return nil
	}},
	{name: "arg", form: "PARAMETER:VALUE", repeated: true, set: func(s *planned, v string) error {
		param, text, found := strings.Cut(v, ":")
		if !found {
			return errors.New("want PARAMETER:VALUE, as in arg=region:north")
		}
		s.args = append(s.args, argument{s.at["arg"], param, text})
		return checkParameter(param)
	}},
}

// ScheduleKeys returns the keys that the directive of a schedule can have, with the forms of their values, in the order of the
// documentation.
func ScheduleKeys() []string {
	forms := make([]string, len(scheduleKeys))
	for i, k := range scheduleKeys {
		forms[i] = k.usage()
	}
	return forms
}

// field notes a field of the definition with its value.
func (s *planned) field(name, value string) { s.fields = append(s.fields, name+": "+value) }

func parseTime(value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return t, errors.New("want a time such as 2026-01-05T08:00:00Z or 2026-01-05T08:00:00+01:00")
	}
	return t.UTC(), nil
}

func timeCode(t time.Time) string {
	return fmt.Sprintf("\x01Date(%d, %d, %d, %d, %d, %d, %d, \x01UTC)", t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond())
}

// parseSchedule reads the words of the directive of a schedule. It returns a complaint for each word that it does not understand.
func parseSchedule(d ast.Directive) (planned, []complaint) {
	s := planned{pos: d.Slash, at: make(map[string]token.Pos)}
	words, err := d.ParseArgs()
	if err != nil {
		return s, []complaint{{d.ArgsPos, err.Error(), nil}}
	}
	var wrong []complaint
	for _, word := range words {
		name, value, found := strings.Cut(word.Arg, "=")
		if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "`") {
			msg := fmt.Sprintf(`quotes go around the whole word, as in "%s=two words"`, name)
			return s, append(wrong, complaint{word.Pos, msg, nil}) // the next words may be part of it
		}
		if msg, accepted := s.set(name, value, found, word.Pos); msg != "" {
			wrong = append(wrong, complaint{word.Pos, msg, accepted})
		}
	}
	if len(wrong) == 0 {
		wrong = s.finish()
	}
	return s, wrong
}

// set adds one word. It returns an error message and the accepted forms if the word is wrong.
func (s *planned) set(name, value string, found bool, pos token.Pos) (msg string, accepted []string) {
	at := slices.IndexFunc(scheduleKeys, func(k scheduleKey) bool { return k.name == name })
	if at < 0 {
		var names []string
		for _, k := range scheduleKeys {
			names = append(names, k.name)
		}
		return fmt.Sprintf("unknown key %q%s", name, suggest(name, names)), []string{"accepted: " + strings.Join(ScheduleKeys(), ", ")}
	}
	k := scheduleKeys[at]
	_, twice := s.at[name]
	switch {
	case !found && k.form != "":
		return fmt.Sprintf("%s lacks its value: want %s", name, k.usage()), nil
	case found && k.form == "":
		return fmt.Sprintf("%s takes no value: want %s", name, k.usage()), nil
	case twice && !k.repeated:
		return name + " is given twice", nil
	case found && value == "":
		return fmt.Sprintf("%s is empty: want %s", name, k.usage()), nil
	}
	s.at[name] = pos
	if err := k.set(s, value); err != nil {
		return fmt.Sprintf("%s=%s: %v", name, value, err), nil
	}
	return "", nil
}

// finish checks the directive as a whole, by the rules of package schedule.
func (s *planned) finish() []complaint {
	_, cron := s.at["cron"]
	_, every := s.at["every"]
	if cron == every {
		return []complaint{{s.pos, "a schedule needs one of cron=EXPRESSION and every=DURATION", nil}}
	}
	if s.zone != "" {
		s.def.When, s.when = s.def.When.In(s.zone), s.when+".In("+strconv.Quote(s.zone)+")"
	}
	if !s.from.IsZero() {
		s.def.When, s.when = s.def.When.From(s.from), s.when+".From("+timeCode(s.from)+")"
	}
	if len(s.days) > 0 {
		var days []string
		for _, day := range s.days {
			days = append(days, fmt.Sprintf("\x00Day(%q)", day))
		}
		s.field("Except", "[]\x00Exclusion{"+strings.Join(days, ", ")+"}")
	}
	s.def.Name, s.def.Call = "schedule", api.Named("task", api.Args())
	if err := s.def.Check(); err != nil {
		text := strings.TrimPrefix(err.Error(), "schedule schedule: ")
		return []complaint{{s.pos, strings.TrimPrefix(text, "invalid: "), nil}}
	}
	return nil
}

// plan records the directive of a schedule.
func (u *unit) plan(fn *ast.FuncDecl, d ast.Directive) {
	s, wrong := parseSchedule(d)
	for _, w := range wrong {
		u.fail(w.pos, Diagnostic{Msg: w.msg, Accepted: w.accepted})
	}
	if u.planned == nil {
		u.planned = make(map[*ast.FuncDecl][]planned)
	}
	u.planned[fn] = append(u.planned[fn], s)
}

// attachSchedules gives the schedules to their tasks. A schedule of a function that is no task is an error.
func (u *unit) attachSchedules() {
	for _, a := range u.functions {
		a.schedules = u.planned[a.fn]
		delete(u.planned, a.fn)
	}
	for fn, list := range u.planned {
		u.errorf(list[0].pos, "%s is no task: a schedule needs the directive %s on the same function", fn.Name.Name, directive)
	}
}

// schedulesName returns the name of the function that returns the schedules of the package.
func (u *unit) schedulesName(a *annotated) string {
	if u.inTestFile(a) {
		return "SchedulesOfTests"
	}
	return "Schedules"
}

// readSchedules checks the schedules of a task: the values of its parameters. It reports wrong ones and returns false.
func (t *task) readSchedules() bool {
	ok := true
	for i := range t.schedules {
		s := &t.schedules[i]
		if s.name == "" {
			s.name = t.taskID
		}
		ok = t.readArguments(s) && ok
	}
	return ok
}

// readArguments makes the arguments of a schedule. A parameter with a default has that if the directive gives no other value; any
// other one that is not optional needs a value.
func (t *task) readArguments(s *planned) bool {
	given := make(map[string]string)
	for _, a := range s.args {
		if t.index(a.param) < 0 {
			t.noParameter(a.pos, a.param)
			return false
		}
		if _, twice := given[a.param]; twice {
			t.errorAt(a.pos, "arg="+a.param+" is given twice")
			return false
		}
		given[a.param] = a.text
	}
	var fields []string
	for i, p := range t.params {
		text, has := given[p.name]
		variadic := t.variadic() && i == len(t.params)-1
		switch {
		case has && variadic:
			t.errorAt(s.pos, "arg="+p.name+": the variadic parameter of a schedule has no values")
			return false
		case variadic, !has && p.optional && p.def == "":
			continue
		case !has && p.optional:
			text = p.def
		case !has:
			t.errorAt(s.pos, "the schedule needs a value of "+p.name, "give it with arg="+p.name+":VALUE, or make it optional")
			return false
		}
		value, wrong := defaultText(text, p.typ)
		if strings.Contains(wrong, "optional=") {
			wrong = "only strings, bools, numbers and durations have values in a comment; declare this schedule in Go"
		}
		if wrong != "" {
			t.errorAt(s.pos, fmt.Sprintf("arg=%s:%s: %s is a parameter of type %s: %s", p.name, text, p.name, types.TypeString(p.typ, t.unit.qualifier), wrong))
			return false
		}
		if value != "" {
			fields = append(fields, p.field+": "+literal(value, p.typ))
		}
	}
	s.values = strings.Join(fields, ", ")
	return true
}

// literal returns a value that defaultText has returned in Go syntax. It is an untyped constant, which fits named types, too.
func literal(value string, typ types.Type) string {
	if isNamed(typ, "time", "Duration") {
		d, _ := time.ParseDuration(value)
		return strconv.FormatInt(int64(d), 10)
	}
	if basic, ok := typ.Underlying().(*types.Basic); ok && basic.Info()&types.IsString != 0 {
		return strconv.Quote(value)
	}
	return value
}

// schedules writes the function that returns the schedules of the tasks, if there are any.
func (r *renderer) schedules(tasks []*task) {
	first := slices.IndexFunc(tasks, func(t *task) bool { return len(t.schedules) > 0 })
	if first < 0 {
		return
	}
	pkg := r.imports.add(schedulePath, "schedule")
	code := func(text string) string {
		if strings.Contains(text, "\x01") {
			text = strings.ReplaceAll(text, "\x01", r.imports.add("time", "time")+".")
		}
		return strings.ReplaceAll(text, "\x00", pkg+".")
	}
	name := r.unit.schedulesName(tasks[first].annotated)
	r.p("\n// %s returns the schedules of the tasks above. Give them to %s.Declared.", name, pkg)
	r.p("func %s() []%s.Definition {", name, pkg)
	r.p("return []%s.Definition{", pkg)
	for _, t := range tasks {
		for _, s := range t.schedules {
			r.p("{\nName: %q,\nWhen: %s,", s.name, code(s.when))
			r.p("Call: %s%s.Task.Bind(%s%s{%s}),", r.handles, t.names.handle, r.handles, t.names.args, s.values)
			for _, field := range s.fields {
				if !strings.Contains(field, "// ") {
					field += ","
				}
				r.p("%s", code(field))
			}
			r.p("},")
		}
	}
	r.p("}\n}")
}

// scheduleList is a claim that all tasks with schedules share.
const scheduleList = "the function with its schedules"

// checkSchedules reports schedules of a unit that have the same name.
func checkSchedules(tasks []*task) {
	byName := make(map[string]*planned)
	for _, t := range tasks {
		for i := range t.schedules {
			s := &t.schedules[i]
			if other := byName[s.name]; other != nil {
				t.errorAt(s.pos, fmt.Sprintf("the name %s is taken by the schedule at %s", s.name, t.unit.place(other.pos)),
					"choose another with "+scheduleDirective+" name=NAME")
				continue
			}
			byName[s.name] = s
		}
	}
}
