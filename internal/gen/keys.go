package gen

import (
	"errors"
	"fmt"
	"go/token"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// key is a key that directives may have.
type key struct {
	name string
	form string // of its value, for error messages
	set  func(o *options, value string) error
}

// keyList is in the order of the documentation.
var keyList = []key{
	{"name", "NAME", func(o *options, v string) error {
		o.name = v
		return checkName("task", v)
	}},
	{"queue", "NAME", func(o *options, v string) error {
		o.queue = v
		o.add("Queue(%q)", v)
		return checkName("queue", v)
	}},
	{"timeout", "DURATION", func(o *options, v string) error { return o.duration("Timeout", v) }},
	{"retries", "NUMBER", func(o *options, v string) error { return o.number("Retries", v, 0, broker.MaxRetries) }},
	{"retention", "DURATION", func(o *options, v string) error { return o.duration("Retention", v) }},
	{"unique", "KEY", func(o *options, v string) error {
		o.add("Unique(%q)", v)
		if len(v) > broker.MaxUniqueKey {
			return fmt.Errorf("%d bytes, the limit is %d", len(v), broker.MaxUniqueKey)
		}
		return nil
	}},
	{"priority", "NUMBER", func(o *options, v string) error { return o.number("Priority", v, math.MinInt8, math.MaxInt8) }},
	{"upstream", "PARAMETER", func(o *options, v string) error {
		o.upstream = v
		if !token.IsIdentifier(v) {
			return errors.New("want the name of a parameter")
		}
		return nil
	}},
}

func findKey(name string) (key, bool) {
	i := slices.IndexFunc(keyList, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keyList[i], true
}

func keyNames() []string {
	names := make([]string, len(keyList))
	for i, k := range keyList {
		names[i] = k.name
	}
	return names
}

// keyForms lists all keys with the form of their values.
func keyForms() []string {
	forms := make([]string, len(keyList))
	for i, k := range keyList {
		forms[i] = k.name + "=" + k.form
	}
	return []string{"accepted: " + strings.Join(forms, " ")}
}

func checkName(what, name string) error {
	if broker.CheckName(what, name) != nil {
		return fmt.Errorf("not the name of a %s: want 1 to %d of A-Z a-z 0-9 _ . and -", what, broker.MaxName)
	}
	return nil
}

func (o *options) add(format string, value any) {
	o.settings = append(o.settings, setting{code: fmt.Sprintf(format, value)})
}

// duration adds an option with a duration. Generated code does not import
// package time, so it gets nanoseconds and a comment.
func (o *options) duration(option, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil {
		return errors.New("not a duration: want one like 1m30s, 500ms or 72h")
	}
	if d < 0 || d > broker.MaxDuration {
		return fmt.Errorf("want 0 to %v", broker.MaxDuration)
	}
	o.settings = append(o.settings, setting{
		code: fmt.Sprintf("%s(%s)", option, underscored(int64(d))),
		note: value,
	})
	return nil
}

func (o *options) number(option, value string, least, most int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return fmt.Errorf("want a whole number from %d to %d", least, most)
	}
	o.add(option+"(%d)", n)
	return nil
}

// underscored writes a number that is not negative with its digits in groups of
// three.
func underscored(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "_" + digits[i:]
	}
	return digits
}
