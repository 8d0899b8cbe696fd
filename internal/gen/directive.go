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
	optional []optional
	settings []setting
	meta     []string // the keys of metadata

	at map[string]token.Pos // of each key; of one that is repeated, the last
}

// optional is a parameter that may be missing, as the directive has it.
type optional struct {
	pos        token.Pos
	param      string
	text       string // its default
	hasDefault bool   // else it is the zero value
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
	case !found && known && k.form != "":
		return fmt.Sprintf("%s lacks its value: want %s", name, k.usage()), nil
	case found && known && k.form == "":
		return fmt.Sprintf("%s takes no value: want %s", name, k.usage()), nil
	case !found && !known && suggest(name, flagNames()) != "":
		return fmt.Sprintf("unknown key %q%s", name, suggest(name, flagNames())), keyForms()
	case !found && !known:
		return fmt.Sprintf("%q is not of the form key=value", word), keyForms()
	case !known:
		return fmt.Sprintf("unknown key %q%s", name, suggest(name, keyNames())), keyForms()
	case twice && !k.repeated:
		return name + " is given twice", nil
	case found && value == "":
		return fmt.Sprintf("%s is empty: want %s", name, k.usage()), nil
	}
	o.at[name] = pos
	if err := k.set(o, value); err != nil {
		return fmt.Sprintf("%s: %v", word, err), nil
	}
	return "", nil
}
