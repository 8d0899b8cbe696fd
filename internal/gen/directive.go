package gen

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
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
	pos  token.Pos
	msg  string
	help []string
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
		if msg := opts.set(word.Arg, word.Pos); msg != "" {
			wrong = append(wrong, complaint{word.Pos, msg, []string{"accepted: " + directive + keyForms()}})
		}
	}
	return opts, wrong
}

// set takes over one word. It returns what is wrong with it.
func (o *options) set(word string, pos token.Pos) string {
	name, value, found := strings.Cut(word, "=")
	k, known := findKey(name)
	_, twice := o.at[name]
	switch {
	case !found && known:
		return fmt.Sprintf("%s lacks its value: want %s=%s", name, name, k.form)
	case !found:
		return fmt.Sprintf("%q is not of the form key=value", word)
	case !known:
		return fmt.Sprintf("unknown key %q%s", name, suggest(name, keyNames()))
	case twice:
		return name + " is given twice"
	case value == "":
		return fmt.Sprintf("%s is empty: want %s=%s", name, name, k.form)
	case value[0] == '"' || value[0] == '`':
		return fmt.Sprintf("%s: quotes go around the whole word, as in %s, and only spaces need them",
			word, strconv.Quote(name+"="+strings.Trim(value, "\"`")))
	}
	o.at[name] = pos
	if err := k.set(o, value); err != nil {
		return fmt.Sprintf("%s=%s: %v", name, value, err)
	}
	return ""
}
