package gen

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// scan finds the directives in the comments of a file, and comments that were probably meant as directives.
func (u *unit) scan(f *file) {
	places := commentPlaces(f.syntax)
	for _, group := range f.syntax.Comments {
		place := places[group]
		for _, c := range group.List {
			d, ok := ast.ParseDirective(c.Slash, c.Text)
			switch {
			case ok && d.Tool == "go" && d.Name == "generate":
				u.readGenerateLine(d)
			case !ok || d.Tool != directiveTool:
				u.nearMiss(c, place)
			case d.Name != directiveName && d.Name != scheduleName:
				u.errorf(c.Slash, "unknown directive //%s:%s%s", d.Tool, d.Name, suggest(d.Name, []string{directiveName, scheduleName}))
			case place.fn == nil:
				u.errorAt(c.Slash, "//"+d.Tool+":"+d.Name+" "+place.where(), "it must be directly above a function or method, with no empty line between")
			case d.Name == scheduleName:
				u.plan(place.fn, d)
			default:
				u.annotate(f, place.fn, d)
			}
		}
	}
}

// annotate records a function with a directive.
func (u *unit) annotate(f *file, fn *ast.FuncDecl, d ast.Directive) {
	if n := len(u.functions); n > 0 && u.functions[n-1].fn == fn {
		u.errorf(d.Slash, "%s has two %s directives; the first is at %s",
			fn.Name.Name, directive, u.place(u.functions[n-1].opts.pos))
		return
	}
	opts, wrong := parseDirective(d)
	for _, w := range wrong {
		u.fail(w.pos, Diagnostic{Msg: w.msg, Accepted: w.accepted})
	}
	switch name := fn.Name.Name; {
	case name == "_", fn.Recv == nil && (name == "init" || name == "main" && f.syntax.Name.Name == "main"):
		u.errorf(d.Slash, "func %s cannot be called, and so cannot be a task", name)
	default:
		u.functions = append(u.functions, &annotated{file: f, fn: fn, opts: opts, names: namesOf(fn)})
	}
}

// misses match comments that were probably meant as a directive: with a space, in capital letters, or in a comment of the other
// kind. The submatches are the word and the rest of the line.
var misses = []*regexp.Regexp{
	regexp.MustCompile(`^(?://|/\*)\s*(?i:arbiter):(?i:(tasks?|schedules?))(?:\s+(.*)|\*/)?$`),
	regexp.MustCompile(`^//(?i:arbiter)(?:\s+:\s*|:\s+)(?i:(tasks?|schedules?))(?:\s+(.*))?$`),
}

// nearMiss reports a comment that looks like a directive and is not one. If it is not above a function it may be prose, so it
// is a warning.
func (u *unit) nearMiss(c *ast.Comment, place commentPlace) {
	line, _, _ := strings.Cut(c.Text, "\n")
	for _, miss := range misses {
		found := miss.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			continue
		}
		meant := directive
		if strings.HasPrefix(strings.ToLower(found[1]), scheduleName) {
			meant = scheduleDirective
		}
		first, _, _ := strings.Cut(strings.TrimSuffix(found[2], "*/"), " ")
		if first != "" && !strings.Contains(first, "=") {
			return // a sentence that begins with these words
		}
		msg := fmt.Sprintf("%s is not a directive; did you mean %s?", strings.TrimSpace(strings.TrimSuffix(line, found[2])), meant)
		if place.fn == nil {
			u.warnf(c.Slash, "%s", msg)
		} else {
			u.errorAt(c.Slash, msg, "directives are // comments in lower case and have no spaces around the colon")
		}
		return
	}
}

// commentPlace is the declaration below a comment.
type commentPlace struct {
	fn   *ast.FuncDecl // the function directly below it; nil if there is none
	what string        // the word for any other declaration below it; empty if there is none
}

func (p commentPlace) where() string {
	if p.what == "" {
		return "stands alone"
	}
	return "is above " + p.what
}

// commentPlaces returns the declaration below each comment.
func commentPlaces(tree *ast.File) map[*ast.CommentGroup]commentPlace {
	places := make(map[*ast.CommentGroup]commentPlace)
	if tree.Doc != nil {
		places[tree.Doc] = commentPlace{what: "the package clause"}
	}
	for _, decl := range tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			places[decl.Doc] = commentPlace{fn: decl}
		case *ast.GenDecl:
			places[decl.Doc] = commentPlace{what: genDeclName(decl.Tok)}
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					places[spec.Doc] = commentPlace{what: genDeclName(decl.Tok)}
				case *ast.ValueSpec:
					places[spec.Doc] = commentPlace{what: genDeclName(decl.Tok)}
				}
			}
		}
	}
	delete(places, nil) // declarations without documentation
	return places
}

func genDeclName(tok token.Token) string {
	switch tok {
	case token.TYPE:
		return "a type"
	case token.IMPORT:
		return "an import"
	}
	return "a " + tok.String() // var or const
}
