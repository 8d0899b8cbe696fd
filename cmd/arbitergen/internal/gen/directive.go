package gen

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// The directive, and its tool and name as go/ast splits it.
const (
	directive     = "//arbiter:task"
	directiveTool = "arbiter"
	directiveName = "task"
)

// options are the contents of a directive.
type options struct {
	pos      token.Pos
	name     string // of the task; empty for the default
	queue    string
	upstream string // the parameter that gets the previous step's result
	optional []optional
	settings []setting
	meta     []string // the keys of metadata
	uses     []*argUse
	sequence *argUse // nil if there is none
	stops    bool    // the sequence halts at a failure
	limits   []limitUse
	conflict string // the value of on-conflict

	uniqueArgs []string // the parameters of which the unique key is made: none is all; nil if there is no such key

	at map[string]token.Pos // the position of each key; for a repeated one, of the last
}

// optional is a parameter that the directive makes optional.
type optional struct {
	pos        token.Pos
	param      string
	text       string // its default
	hasDefault bool   // if not, the default is the zero value
}

// complaint is an error in a directive.
type complaint struct {
	pos      token.Pos
	msg      string
	accepted []string
}

// parseDirective reads the words of a directive. It returns the options, and a complaint for each word that it does not
// understand.
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
			return opts, append(wrong, complaint{word.Pos, msg, nil}) // the next words may be part of it
		}
		if msg, accepted := opts.set(word.Arg, word.Pos); msg != "" {
			wrong = append(wrong, complaint{word.Pos, msg, accepted})
		}
	}
	return opts, append(wrong, opts.finish()...)
}

// set adds the option of one word. It returns an error message and the accepted forms if the word is wrong.
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
