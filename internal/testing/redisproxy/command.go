package redisproxy

import (
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
)

// Command is a command with its arguments, as a client sent it.
type Command []string

// Name returns the name of the command in lower case.
func (c Command) Name() string { return strings.ToLower(c[0]) }

// Matcher chooses commands. text is the text of the script that the command runs. It is empty if
// the command runs no script, or a script whose text no proxy has seen.
type Matcher func(c Command, text string) bool

// Named chooses commands by name.
func Named(names ...string) Matcher {
	return func(c Command, _ string) bool {
		for _, n := range names {
			if strings.EqualFold(n, c[0]) {
				return true
			}
		}
		return false
	}
}

// Script chooses runs of the scripts that have a comment line which begins with the name, or with
// the name and an underscore: "-- name does this" or "-- name_fast does it faster". A script is
// known once a client has sent its text.
func Script(name string) Matcher {
	mark := regexp.MustCompile(`(?m)^-- ` + regexp.QuoteMeta(name) + `[ _]`)
	return func(_ Command, text string) bool { return text != "" && mark.MatchString(text) }
}

// WithKey chooses those commands of the matcher that have an argument which contains part.
func (m Matcher) WithKey(part string) Matcher {
	return func(c Command, text string) bool {
		if m != nil && !m(c, text) {
			return false
		}
		for _, arg := range c[1:] {
			if strings.Contains(arg, part) {
				return true
			}
		}
		return false
	}
}

// scripts holds the text of each script that any proxy has seen. All proxies share it: a client may
// send the text of a script through one proxy, and run it through another.
var scripts = struct {
	sync.Mutex
	bySHA map[string]string
}{bySHA: make(map[string]string)}

// textOf returns the text of the script that a command runs.
func textOf(c Command) string {
	if len(c) < 2 {
		return ""
	}
	switch c.Name() {
	case "eval":
		return learn(c[1])
	case "script":
		if len(c) > 2 && strings.EqualFold(c[1], "load") {
			learn(c[2])
		}
	case "evalsha":
		scripts.Lock()
		defer scripts.Unlock()
		return scripts.bySHA[strings.ToLower(c[1])]
	}
	return ""
}

func learn(text string) string {
	sum := sha1.Sum([]byte(text))
	scripts.Lock()
	defer scripts.Unlock()
	scripts.bySHA[hex.EncodeToString(sum[:])] = text
	return text
}
