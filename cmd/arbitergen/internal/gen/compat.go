package gen

import (
	"cmp"
	"fmt"
	"go/token"
	"maps"
	"slices"
)

// comparison compares tasks with an earlier manifest, to find tasks that were submitted then and can't be executed now.
type comparison struct {
	old, new *manifest
	path     string // of the earlier manifest
	found    []Diagnostic
}

// compareManifests returns the changes that break queued tasks. Changes that only may do so are warnings.
func compareManifests(old, new *manifest, path string) []Diagnostic {
	c := &comparison{old: old, new: new, path: path}
	for _, name := range slices.Sorted(maps.Keys(old.Tasks)) {
		before, now := old.Tasks[name], new.Tasks[name]
		if now == nil {
			c.found = append(c.found, Diagnostic{
				Pos:  token.Position{Filename: path},
				Msg:  name + ": the task was removed or renamed",
				Help: []string{"it ran " + before.Func + "; keep it until none is queued"},
			})
			continue
		}
		c.params(name, before, now)
		c.result(name, before, now)
		if q, r := cmp.Or(before.Queue, "default"), cmp.Or(now.Queue, "default"); q != r {
			c.report(now, true, "%s: the queue was %s and is %s; keep a minion on the old one until it is empty", name, q, r)
		}
	}
	slices.SortStableFunc(c.found, compareDiagnostics)
	return c.found
}

func (c *comparison) report(now *manifestTask, warning bool, format string, args ...any) {
	pos := token.Position{Filename: c.path}
	if now.task != nil {
		pos = now.task.unit.position(now.task.pos())
	}
	c.found = append(c.found, Diagnostic{Pos: pos, Msg: fmt.Sprintf(format, args...), Warning: warning})
}

// params compares the parameters. A queued task with arguments by name has one for each old parameter that was not
// optional, and none for new parameters.
func (c *comparison) params(name string, before, now *manifestTask) {
	index := func(t *manifestTask, param string) int {
		return slices.IndexFunc(t.Params, func(p schemaParam) bool { return p.Name == param })
	}
	order := -1
	for _, old := range before.Params {
		i := index(now, old.Name)
		if i < 0 {
			c.report(now, false, "%s: parameter %s was removed or renamed", name, old.Name)
			continue
		}
		if i < order {
			c.report(now, false, "%s: parameter %s has another position; tasks that were sent by position would get wrong arguments", name, old.Name)
		}
		order = max(order, i)
		c.absence(name, old, now.Params[i], now)
		d := differ{old: c.old.Types, new: c.new.Types}
		if msg := d.value(old.Type, now.Params[i].Type, old.Name); msg != "" {
			c.report(now, false, "%s: parameter %s", name, msg)
		}
	}
	for i, p := range now.Params {
		switch {
		case index(before, p.Name) >= 0, p.Variadic:
		case !p.Optional:
			c.report(now, false, "%s: parameter %s was added; queued tasks have no argument for it, so make it optional", name, p.Name)
		case slices.ContainsFunc(now.Params[i+1:], func(later schemaParam) bool { return index(before, later.Name) >= 0 }):
			c.report(now, false, "%s: optional parameter %s was added before others; tasks that were sent by position would get wrong arguments", name, p.Name)
		}
	}
}

// absence compares the effect on a queued task that has no argument for the parameter.
func (c *comparison) absence(name string, old, now schemaParam, task *manifestTask) {
	switch {
	case old.Variadic && !now.Variadic:
		c.report(task, false, "%s: parameter %s is no longer variadic; tasks that were sent by position would not fit", name, old.Name)
	case old.Optional && !now.Optional && !now.Variadic:
		c.report(task, false, "%s: parameter %s is no longer optional; queued tasks may have no argument for it", name, old.Name)
	case old.Optional && old.Default != now.Default:
		c.report(task, true, "%s: the default of parameter %s was %s and is %s; queued tasks without the argument get the new one",
			name, old.Name, shownDefault(old.Default), shownDefault(now.Default))
	}
}

func shownDefault(text string) string { return cmp.Or(text, "its zero value") }

// result compares the results. Both directions matter: the waiting program may be older or newer than the minion.
func (c *comparison) result(name string, before, now *manifestTask) {
	switch {
	case before.Result == "" && now.Result == "":
		return
	case before.Result == "":
		c.report(now, false, "%s: a result %s was added; tasks that are done have none", name, now.Result)
		return
	case now.Result == "":
		c.report(now, false, "%s: the result %s was removed", name, before.Result)
		return
	}
	forth := differ{old: c.old.Types, new: c.new.Types}
	back := differ{old: c.new.Types, new: c.old.Types, growing: true}
	if msg := forth.value(before.Result, now.Result, "result"); msg != "" {
		c.report(now, false, "%s: %s", name, msg)
	} else if back.value(now.Result, before.Result, "result") != "" {
		c.report(now, false, "%s: result changed from %s to %s; programs that already wait for it cannot decode it", name, before.Result, now.Result)
	}
}
