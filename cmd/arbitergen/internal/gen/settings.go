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

// setting is a call of an option of package task in generated code.
type setting struct {
	option string // such as Queue or WithBackoff
	args   string // such as "heavy"; taskPrefix is in front of names of package task, and useMark around the index of an argUse
	note   string // a comment after it, for values that are hard to read
}

// taskPrefix is in place of the name of package task and a dot, which is only known when the code is written.
const taskPrefix = "\x00"

// code returns the setting in Go syntax, for the name that package task has in the file.
func (s setting) code(taskName string) string {
	return fmt.Sprintf("%s.%s(%s)", taskName, s.option, strings.ReplaceAll(s.args, taskPrefix, taskName+"."))
}

func (o *options) add(option, args string) {
	o.settings = append(o.settings, setting{option: option, args: args})
}

func (o *options) flag(option string) error {
	o.add(option, "")
	return nil
}

// duration adds an option with a duration. Generated code does not import package time, so it has the nanoseconds and a comment.
func (o *options) duration(option, value string, least time.Duration) error {
	d, err := parseDuration(value, least)
	if err != nil {
		return err
	}
	o.settings = append(o.settings, setting{option: option, args: nanoseconds(d), note: value})
	return nil
}

func parseDuration(value string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, errors.New("not a duration: want one like 1m30s, 500ms or 72h")
	}
	if d < least || d > broker.MaxDuration {
		if least == 0 {
			return 0, fmt.Errorf("want 0 to %v", broker.MaxDuration)
		}
		return 0, fmt.Errorf("want %v to %v", least, broker.MaxDuration)
	}
	return d, nil
}

func (o *options) setRetries(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > broker.MaxRetries {
		return fmt.Errorf("want a whole number from 0 to %d", broker.MaxRetries)
	}
	o.add("Retries", strconv.Itoa(n))
	return nil
}

func (o *options) setSlots(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > broker.MaxSlots {
		return fmt.Errorf("want a whole number from 1 to %d", broker.MaxSlots)
	}
	o.add("Slots", strconv.Itoa(n))
	return nil
}

// setBackoff adds the backoff: constant:5s or exponential:1s..10m.
func (o *options) setBackoff(value string) error {
	kind, text, _ := strings.Cut(value, ":")
	switch kind {
	case "constant":
		d, err := parseDuration(text, 0)
		if err != nil {
			return err
		}
		o.settings = append(o.settings, setting{"WithBackoff", taskPrefix + "Constant(" + nanoseconds(d) + ")", text})
		return nil
	case "exponential":
		from, to, found := strings.Cut(text, "..")
		if !found {
			return errors.New("want exponential:BASE..LIMIT, as in exponential:1s..10m")
		}
		base, err := parseDuration(from, time.Nanosecond)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		limit, err := parseDuration(to, time.Nanosecond)
		if err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
		if base > limit {
			return fmt.Errorf("the base %s is longer than the limit %s", from, to)
		}
		o.settings = append(o.settings, setting{
			"WithBackoff", fmt.Sprintf("%sExponential(%s, %s)", taskPrefix, nanoseconds(base), nanoseconds(limit)), text,
		})
		return nil
	}
	return errors.New("want constant:DURATION or exponential:BASE..LIMIT, as in exponential:1s..10m")
}

// checkOneKey returns an error if the directive gives the task several unique keys.
func (o *options) checkOneKey() error {
	n := 0
	for _, name := range []string{"unique", "unique-key", "unique-in"} {
		if _, has := o.at[name]; has {
			n++
		}
	}
	if n > 1 {
		return errors.New("a task has only one key: want unique, unique-key or unique-in")
	}
	return nil
}

// setUnique notes the parameters of which the unique key is made. Their setting is added when they are known.
func (o *options) setUnique(value string) error {
	names := []string{}
	if value != "args" {
		names = strings.Split(value, ",")
	}
	for i, name := range names {
		if !token.IsIdentifier(name) {
			return errors.New("want unique=args, or the names of parameters, as in unique=account,month; a constant key is unique-key=KEY")
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("%s is given twice", name)
		}
	}
	o.uniqueArgs = names
	o.add("UniqueArgs", "")
	return o.checkOneKey()
}

func (o *options) setUniqueUntil(value string) error {
	if value != "start" {
		return errors.New("want unique-until=start; without it, the key is held until the task is done")
	}
	return o.flag("UniqueUntilStart")
}

func (o *options) setOnConflict(value string) error {
	name, known := map[string]string{
		"refuse": "ConflictRefuse", "join": "ConflictJoin", "replace": "ConflictReplace", "latest": "ConflictLatest", "cancel": "ConflictCancel",
	}[value]
	if !known {
		return errors.New("want refuse, join, replace, latest or cancel")
	}
	o.conflict = value
	o.add("OnConflict", taskPrefix+name)
	return nil
}

func (o *options) setUniqueIn(value string) error {
	scope, k, found := strings.Cut(value, ":")
	if !found || k == "" {
		return errors.New("want SCOPE:KEY, as in unique-in=invoices:nightly")
	}
	o.add("UniqueIn", fmt.Sprintf("%q, %q", scope, k))
	if err := checkName("scope", scope); err != nil {
		return err
	}
	return o.checkUnique(k)
}

func (o *options) setMeta(value string) error {
	k, v, found := strings.Cut(value, ":")
	if !found || k == "" {
		return errors.New("want KEY:VALUE, as in meta=team:mail")
	}
	if slices.Contains(o.meta, k) {
		return fmt.Errorf("%s is given twice", k)
	}
	o.meta = append(o.meta, k)
	o.add("Meta", fmt.Sprintf("%q, %q", k, v))
	return nil
}

// nanoseconds writes a duration as a number with its digits in groups of three.
func nanoseconds(d time.Duration) string { return underscored(int64(d)) }

// underscored writes a number that is not negative with its digits in groups of
// three.
func underscored(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "_" + digits[i:]
	}
	return digits
}
