package gen

import (
	"errors"
	"fmt"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// key is a key of a directive.
type key struct {
	name     string
	form     string // the form of its value, for error messages; empty if it has no value
	repeated bool   // a directive may have it several times
	set      func(o *options, value string) error
}

// usage returns the key with the form of its value.
func (k key) usage() string {
	if k.form == "" {
		return k.name
	}
	return k.name + "=" + k.form
}

// keyList has all keys, in the order of the documentation.
var keyList = []key{
	{name: "name", form: "NAME", set: func(o *options, v string) error {
		o.name = v
		return checkName("task", v)
	}},
	{name: "queue", form: "NAME", set: func(o *options, v string) error {
		o.queue = v
		o.add("Queue", strconv.Quote(v))
		return checkName("queue", v)
	}},
	{name: "delay", form: "DURATION", set: func(o *options, v string) error { return o.duration("Delay", v, 0) }},
	{name: "within", form: "DURATION", set: func(o *options, v string) error { return o.duration("Within", v, time.Millisecond) }},
	{name: "timeout", form: "DURATION", set: func(o *options, v string) error { return o.duration("Timeout", v, 0) }},
	{name: "slots", form: "NUMBER", set: (*options).setSlots},
	{name: "retries", form: "NUMBER", set: (*options).setRetries},
	{name: "backoff", form: "constant:DURATION or exponential:BASE..LIMIT", set: (*options).setBackoff},
	{name: "retention", form: "DURATION", set: func(o *options, v string) error { return o.duration("Retention", v, 0) }},
	{name: "dead-retention", form: "DURATION", set: func(o *options, v string) error { return o.duration("DeadRetention", v, 0) }},
	{name: "unique", form: "args or PARAMETER,PARAMETER", set: (*options).setUnique},
	{name: "unique-key", form: "KEY", set: func(o *options, v string) error {
		o.add("Unique", strconv.Quote(v))
		return o.checkUnique(v)
	}},
	{name: "unique-in", form: "SCOPE:KEY", set: (*options).setUniqueIn},
	{name: "unique-for", form: "DURATION", set: func(o *options, v string) error { return o.duration("UniqueFor", v, time.Nanosecond) }},
	{name: "unique-until", form: "start", set: (*options).setUniqueUntil},
	{name: "on-conflict", form: "refuse|join|replace|latest|cancel", set: (*options).setOnConflict},
	{name: "conflict-max-age", form: "DURATION", set: func(o *options, v string) error { return o.duration("ConflictMaxAge", v, time.Nanosecond) }},
	{name: "priority", form: "NUMBER", set: (*options).setPriority},
	{name: "fair", form: "ARGUMENT", set: (*options).setFair},
	{name: "sequence", form: "ARGUMENT", set: (*options).setSequence},
	{name: "on-failure", form: "stop", set: (*options).setOnFailure},
	{name: "limit", form: "NAME", repeated: true, set: (*options).setLimit},
	{name: "key", form: "ARGUMENT", repeated: true, set: func(o *options, v string) error { return o.setOfLimit("key", v) }},
	{name: "cost", form: "ARGUMENT", repeated: true, set: func(o *options, v string) error { return o.setOfLimit("cost", v) }},
	{name: "meta", form: "KEY:VALUE", repeated: true, set: (*options).setMeta},
	{name: "isolated", set: func(o *options, _ string) error { return o.flag("Isolated") }},
	{name: "inherit", set: func(o *options, _ string) error { return o.flag("Inherit") }},
	{name: "upstream", form: "PARAMETER", set: func(o *options, v string) error {
		o.upstream = v
		return checkParameter(v)
	}},
	{name: "optional", form: "PARAMETER", repeated: true, set: func(o *options, v string) error {
		return o.addOptional(optional{pos: o.at["optional"], param: v})
	}},
	{name: "default", form: "PARAMETER:VALUE", repeated: true, set: (*options).setDefault},
}

// Keys returns the keys that a directive can have, with the forms of their values, in the order of the documentation.
func Keys() []string {
	forms := make([]string, len(keyList))
	for i, k := range keyList {
		forms[i] = k.usage()
	}
	return forms
}

// checkUnique returns an error if the key can't be the unique key of a task.
func (o *options) checkUnique(key string) error {
	if err := o.checkOneKey(); err != nil {
		return err
	}
	if len(key) > broker.MaxUniqueKey {
		return fmt.Errorf("%d bytes, the limit is %d", len(key), broker.MaxUniqueKey)
	}
	return nil
}

func checkParameter(name string) error {
	if strings.Contains(name, ",") {
		return errors.New("want the name of one parameter; repeat the key for others")
	}
	if !token.IsIdentifier(name) {
		return errors.New("want the name of a parameter")
	}
	return nil
}

func (o *options) setDefault(value string) error {
	param, text, found := strings.Cut(value, ":")
	if !found {
		return errors.New("want PARAMETER:VALUE, as in default=limit:10")
	}
	return o.addOptional(optional{pos: o.at["default"], param: param, text: text, hasDefault: true})
}

func (o *options) addOptional(added optional) error {
	if err := checkParameter(added.param); err != nil {
		return err
	}
	o.optional = append(o.optional, added)
	return nil
}

func findKey(name string) (key, bool) {
	i := slices.IndexFunc(keyList, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keyList[i], true
}

// flagNames returns the keys without a value.
func flagNames() []string {
	var names []string
	for _, k := range keyList {
		if k.form == "" {
			names = append(names, k.name)
		}
	}
	return names
}

func keyNames() []string {
	names := make([]string, len(keyList))
	for i, k := range keyList {
		names[i] = k.name
	}
	return names
}

// keyForms returns all keys with the forms of their values.
func keyForms() []string {
	forms := Keys()
	half := len(forms) / 2
	return []string{"accepted: " + strings.Join(forms[:half], ", ") + ",", strings.Join(forms[half:], ", ")}
}

func checkName(what, name string) error {
	if broker.CheckName(what, name) != nil {
		return fmt.Errorf("not the name of a %s: want 1 to %d of A-Z a-z 0-9 _ . and -", what, broker.MaxName)
	}
	return nil
}
