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

// Name returns the command's name in lower case.
func (c Command) Name() string { return strings.ToLower(c[0]) }

// Matcher chooses commands. Text is that of the script it runs, empty if it
// runs none or one whose text never came through a proxy.
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

// Script chooses runs of the scripts that have a comment line which begins with
// the name, or with it and further words: "-- name does this", "-- name_fast
// does it faster". A script is known once a client has sent its text.
func Script(name string) Matcher {
	mark := regexp.MustCompile(`(?m)^-- ` + regexp.QuoteMeta(name) + `[ _]`)
	return func(_ Command, text string) bool { return text != "" && mark.MatchString(text) }
}

// WithKey chooses among the matcher's commands those that have an argument
// which contains part.
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

// scripts are the texts that came by, of all proxies: a server that one of them
// has taught a script knows it when it is asked through another.
var scripts = struct {
	sync.Mutex
	bySHA map[string]string
}{bySHA: make(map[string]string)}

// textOf returns that of the script a command runs.
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
