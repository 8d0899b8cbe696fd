package redis

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	luaComment = regexp.MustCompile(`--.*`)
	luaText    = regexp.MustCompile(`'(?:[^'\\]|\\.)*'`)
	luaLocals  = regexp.MustCompile(`\blocal (?:function )?(\w+(?:,\s*\w+)*)`)
	luaParams  = regexp.MustCompile(`\bfunction ?\w*\((\w[\w, ]*)\)`)
	luaName    = regexp.MustCompile(`\w+`)
	// luaUse matches a call of a function and a constant. A field such as string.sub is neither.
	luaUse = regexp.MustCompile(`(?:^|[^\w.:])(?:([A-Za-z_]\w*)\(|([A-Z][A-Z_]*)\b)`)
)

// luaKnown are names that the server defines, and words of the language that stand before a
// parenthesis.
const luaKnown = " KEYS ARGV ipairs pairs pcall tonumber tostring type unpack function if elseif while and or not return in "

// A script and the files that it includes define each function that it calls and each constant that
// it uses, before its first use. The server finds out about a name that is missing only in the line
// that uses it, which tests may seldom reach.
func TestScriptsIncludeWhatTheyUse(t *testing.T) {
	t.Parallel()
	uses := 0
	for _, s := range scripts {
		text := luaText.ReplaceAllString(luaComment.ReplaceAllString(s.text, ""), "''")
		defined := make(map[string]int) // by name, the first place
		for _, names := range []*regexp.Regexp{luaLocals, luaParams} {
			for _, at := range names.FindAllStringSubmatchIndex(text, -1) {
				for _, name := range luaName.FindAllString(text[at[2]:at[3]], -1) {
					if first, ok := defined[name]; !ok || at[2] < first {
						defined[name] = at[2]
					}
				}
			}
		}
		for _, at := range luaUse.FindAllStringSubmatchIndex(text, -1) {
			from, to := max(at[2], at[4]), max(at[3], at[5])
			name := text[from:to]
			if strings.Contains(luaKnown, " "+name+" ") {
				continue
			}
			uses++
			if first, ok := defined[name]; !ok || first > from {
				defined[name] = 0 // one error for each name
				t.Errorf("%s.lua uses %s, which nothing before it defines: script.go lists the files that it includes, in their order", s.name, name)
			}
		}
	}
	if uses < 500 {
		t.Errorf("only %d uses of functions and constants were found", uses)
	}
}

// Lua reads the name of a function before its arguments. So a function that makeLanes makes must not
// be called with a call of laneKeys as an argument, which runs makeLanes: it does not exist yet.
func TestLaneKeysFirst(t *testing.T) {
	t.Parallel()
	text, err := sources.ReadFile("lua/lane.lua")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?s)\nlocal makeLanes\nlocal ([\w,\s]*)`).FindSubmatch(text)
	if list == nil {
		t.Fatal("lane.lua does not list what makeLanes makes")
	}
	for _, name := range luaName.FindAllString(string(list[1]), -1) {
		early := regexp.MustCompile(`\b` + name + `\([^\n]*\blaneKeys\(`)
		for _, s := range scripts {
			if call := early.FindString(luaComment.ReplaceAllString(s.text, "")); call != "" {
				t.Errorf("%s.lua calls %s…: call laneKeys in a line before it", s.name, call)
			}
		}
	}
}

var (
	luaCall  = regexp.MustCompile(`redis\.call\(('([A-Z]+)')?`)
	luaReads = " EXISTS GET GETRANGE STRLEN HEXISTS HGET HGETALL HKEYS HLEN HMGET HSCAN LINDEX LLEN LRANGE SCARD SISMEMBER SMISMEMBER TIME TYPE " +
		"ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZREVRANGE ZSCORE ZMSCORE "
)

// The list reading has the scripts that write nothing, and scriptArrivals. A script that writes nothing
// may include a file with a function that writes.
func TestReadingScripts(t *testing.T) {
	t.Parallel()
	for _, s := range scripts {
		own, err := sources.ReadFile("lua/" + s.name + ".lua")
		if err != nil {
			t.Fatal(err)
		}
		switch listed := slices.Contains(reading, s); {
		case listed && !onlyReads(string(own)) && s != scriptArrivals:
			t.Errorf("%s.lua writes, and is in the list reading in errors.go", s.name)
		case !listed && onlyReads(s.text):
			t.Errorf("%s.lua writes nothing, and is not in the list reading in errors.go", s.name)
		}
	}
}

// onlyReads reports whether a text calls only commands that read.
func onlyReads(text string) bool {
	for _, call := range luaCall.FindAllStringSubmatch(luaComment.ReplaceAllString(text, ""), -1) {
		if call[2] == "" || !strings.Contains(luaReads, " "+call[2]+" ") {
			return false
		}
	}
	return true
}
