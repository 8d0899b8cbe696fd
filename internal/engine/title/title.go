// Package title makes the form in which errors name a task.
package title

import "github.com/go-arbiter/arbiter/broker"

// Of returns "task simple_add (id)", or "task id" if the name is not known. Groups and pipes are
// "group id" and "pipe id".
func Of(id broker.ID, name string) string {
	kind := "task"
	switch id.Kind() {
	case broker.KindGroup:
		kind = "group"
	case broker.KindPipe:
		kind = "pipe"
	}
	switch {
	case name == "" || name == kind:
		return kind + " " + id.String()
	case id.IsZero():
		return kind + " " + name
	}
	return kind + " " + name + " (" + id.String() + ")"
}
