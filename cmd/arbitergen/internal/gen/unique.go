package gen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// readUnique finds the parameters of which the unique key is made, and completes the setting. It reports wrong ones and
// returns false.
func (t *task) readUnique() bool {
	ok := true
	_, limited := t.opts.at["conflict-max-age"]
	_, chosen := t.opts.at["on-conflict"]
	if limited && (!chosen || t.opts.conflict == "refuse" || t.opts.conflict == "join") { // a wrong one was reported before
		t.errorAt(t.opts.at["conflict-max-age"], "conflict-max-age: no holder of the unique key is replaced",
			"add on-conflict=replace, on-conflict=latest or on-conflict=cancel, or leave conflict-max-age out")
		ok = false
	}
	if t.opts.uniqueArgs == nil {
		return ok
	}
	names := make([]string, 0, len(t.opts.uniqueArgs))
	for _, name := range t.opts.uniqueArgs {
		i := slices.IndexFunc(t.params, func(p param) bool { return p.name == name || p.field == name })
		switch {
		case i < 0:
			t.noUniqueParameter(name)
			ok = false
			continue
		case i == t.step:
			t.errorAt(t.opts.at["unique"], fmt.Sprintf("unique: %s gets the result of the step before, which is not known when the task is sent", name),
				"leave it out of the key")
			ok = false
		case slices.Contains(names, strconv.Quote(t.params[i].name)):
			t.errorAt(t.opts.at["unique"], fmt.Sprintf("unique: the parameter %s is given twice", t.params[i].name))
			ok = false
		}
		names = append(names, strconv.Quote(t.params[i].name))
	}
	if len(t.opts.uniqueArgs) == 0 && len(t.params) == 0 {
		t.errorAt(t.opts.at["unique"], "unique=args: the function has no parameters", "a constant key is unique-key=KEY")
		ok = false
	}
	for i := range t.opts.settings {
		if s := &t.opts.settings[i]; s.option == "UniqueArgs" {
			s.args = strings.Join(names, ", ")
		}
	}
	return ok
}

// noUniqueParameter reports that the unique key names a parameter that does not exist.
func (t *task) noUniqueParameter(name string) {
	if len(t.params) == 0 {
		t.errorAt(t.opts.at["unique"], "unique="+name+": the function has no parameters", "a constant key is unique-key="+name)
		return
	}
	known := make([]string, len(t.params))
	for i, p := range t.params {
		known[i] = p.name
	}
	t.errorAt(t.opts.at["unique"], fmt.Sprintf("unique: there is no parameter %s%s", name, suggest(name, known)),
		"its parameters: "+strings.Join(known, ", "), "a constant key is unique-key="+name+"; all parameters are unique=args")
}
