package gen

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// generateLine is a //go:generate line that runs arbitergen.
type generateLine struct {
	pos      token.Pos
	client   string   // the folder after -client; empty if there is none
	packages []string // the arguments that are not flags
}

// readGenerateLine records a //go:generate line if it runs arbitergen.
func (u *unit) readGenerateLine(d ast.Directive) {
	words, err := d.ParseArgs()
	if err != nil {
		return // go generate reports the error
	}
	i := slices.IndexFunc(words, func(w ast.DirectiveArg) bool {
		name, _, _ := strings.Cut(path.Base(w.Arg), "@")
		return name == "arbitergen"
	})
	if i < 0 {
		return
	}
	line := generateLine{pos: d.Slash}
	for words = words[i+1:]; len(words) > 0; words = words[1:] {
		flag, value, inline := strings.Cut(strings.TrimLeft(words[0].Arg, "-"), "=")
		switch {
		case !strings.HasPrefix(words[0].Arg, "-"):
			line.packages = append(line.packages, words[0].Arg)
			continue
		case slices.Contains([]string{"client", "schema", "compat"}, flag) && !inline && len(words) > 1:
			words = words[1:]
			value = words[0].Arg
		}
		if flag == "client" {
			line.client = value
		}
	}
	u.lines = append(u.lines, line)
}
