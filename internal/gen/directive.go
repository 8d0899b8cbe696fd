package gen

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// The directive, and its tool and name as the standard library splits it.
const (
	directive     = "//arbiter:task"
	directiveTool = "arbiter"
	directiveName = "task"
)

// options is what a directive says.
type options struct {
	pos      token.Pos
	name     string // of the task; empty for the default
	queue    string
	upstream string // the parameter that takes the previous result
	settings []setting

	at map[string]token.Pos // of each key
}

// setting is an option for package task, as generated code writes it.
type setting struct {
	code string // such as Queue("heavy")
	note string // a comment beside it, for values that are hard to read
}

// complaint is an error in a directive.
type complaint struct {
	pos      token.Pos
	msg      string
	accepted []string
}

// parseDirective reads the words of a directive. It returns what it understands
// and complains about each word that it does not.
func parseDirective(d ast.Directive) (options, []complaint) {
	opts := options{pos: d.Slash, at: make(map[string]token.Pos)}
	words, err := d.ParseArgs()
	if err != nil {
		return opts, []complaint{{d.ArgsPos, err.Error(), nil}}
	}
	var wrong []complaint
	for _, word := range words {
		if key, value, _ := strings.Cut(word.Arg, "="); strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "`") {
			msg := fmt.Sprintf(`quotes go around the whole word, as in "%s=two words"`, key)
			return opts, append(wrong, complaint{word.Pos, msg, nil}) // what follows may be a part of it
		}
		if msg, accepted := opts.set(word.Arg, word.Pos); msg != "" {
			wrong = append(wrong, complaint{word.Pos, msg, accepted})
		}
	}
	return opts, wrong
}

// set takes over one word. It returns what is wrong with it, and what would not
// be.
func (o *options) set(word string, pos token.Pos) (msg string, accepted []string) {
	name, value, found := strings.Cut(word, "=")
	k, known := findKey(name)
	_, twice := o.at[name]
	switch {
	case !found && known:
		return fmt.Sprintf("%s lacks its value: want %s=%s", name, name, k.form), nil
	case !found:
		return fmt.Sprintf("%q is not of the form key=value", word), keyForms()
	case !known:
		return fmt.Sprintf("unknown key %q%s", name, suggest(name, keyNames())), keyForms()
	case twice:
		return name + " is given twice", nil
	case value == "":
		return fmt.Sprintf("%s is empty: want %s=%s", name, name, k.form), nil
	}
	o.at[name] = pos
	if err := k.set(o, value); err != nil {
		return fmt.Sprintf("%s=%s: %v", name, value, err), nil
	}
	return "", nil
}
