//go:build unix

package chaos

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	mutants = flag.String("mutants", "", "run TestMutants on the mutants whose names contain this; all for all of them")
	tries   = flag.Uint64("mutants.seeds", 3, "how many seeds TestMutants tries before a mutant counts as missed")
)

// mutant is a fault that is put into a copy of the module.
type mutant struct {
	name string
	file string // from the module's root
	old  string // is there once
	new  string
}

var known = []mutant{
	{
		"a late settlement counts", "broker/redis/lua/settle.lua",
		"local id, attempt, msg = ids[i], attempts[i], msgs[i]\n",
		"local id, attempt, msg = ids[i], attempts[i], msgs[i]\n    owner = true\n" +
			"    if not msg then\n      msg = string.rep('\\0', 17) .. attempt .. string.rep('\\0', 24)\n      msgs[i] = msg\n    end\n",
	}, {
		"a dead minion's attempts start again under their old numbers", "broker/redis/lua/leave.lua",
		"big(number(msg, 18, 4) + 1, 4)", "string.sub(msg, 18, 21)",
	}, {
		"a minion's death uses up a retry", "broker/redis/lua/leave.lua",
		"string.sub(msg, 22, 23) .. string.char(recoveries", "big(number(msg, 22, 2) + 1, 2) .. string.char(recoveries",
	}, {
		"what a lost reply had is forgotten", "broker/redis/lua/adopt.lua",
		"return { now(), redis.call('HKEYS', KEYS[1]) }", "return { now(), {} }",
	}, {
		"a repeated enqueue stores again", "broker/redis/lua/enqueue_plain.lua",
		"if known[i] then", "if false then",
	}, {
		"a killed task is retried as one that failed", "broker/redis/lua/settle.lua",
		"local is = verb ~= 'finish' and stopping and", "local is = false and",
	}, {
		"a kill of a waiting task leaves no tombstone", "broker/redis/lua/cancel.lua",
		"redis.call('SADD', gone, id)", "",
	}, {
		"a kill is forgotten when its minion dies", "broker/redis/lua/leave.lua",
		"flags = flags + 1 -- FlagCanceled", "",
	}, {
		"members are counted down instead of kept in a set", "broker/redis/lua/flow_arrive.lua",
		"if not known[k] and not seen[place] then", "if not seen[place] then",
	}, {
		"the lease is that of the receipt", "broker/redis/lua/beat.lua",
		"redis.call('ZADD', minions, 'XX', t + lease, minion)", "",
	}, {
		"a dead minion's tasks are dropped", "broker/redis/lua/leave.lua",
		"push(ready, held, watch, wake, back, true)", "",
	}, {
		"a settlement is given up at the first error", "minion/settler.go",
		"r.out.failed(\"settle\", err)\n\t\t}\n\t\tif len(batch) > 0",
		"r.out.failed(\"settle\", err)\n\t\t\ts.giveUp(batch, err)\n\t\t\treturn\n\t\t}\n\t\tif len(batch) > 0",
	}, {
		"arrivals are confirmed though what follows has failed", "internal/flow/driver.go",
		"id, bad))\n\t\t\tcontinue\n", "id, bad))\n",
	},
}

// Each known mutant breaks a guarantee, and the checker sees it. It takes some
// minutes, and so runs only when it is asked for by -mutants.
func TestMutants(t *testing.T) {
	if *mutants == "" {
		t.Logf("%d mutants are left alone; -args -mutants all runs them", len(known))
	}
	for _, m := range known {
		source, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: what it changes is %d times in %s", m.name, n, m.file)
			continue
		}
		if *mutants != "all" && (*mutants == "" || !strings.Contains(m.name, *mutants)) {
			continue
		}
		began := time.Now()
		dir := t.TempDir()
		scratch(t, dir)
		changed := strings.Replace(string(source), m.old, m.new, 1)
		if err := os.WriteFile(filepath.Join(dir, m.file), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		seen := ""
		for s := uint64(1); s <= *tries && seen == ""; s++ {
			seen = caught(t, dir, s)
		}
		if seen == "" {
			t.Errorf("MISSED %s", m.name)
			continue
		}
		t.Logf("caught %s, in %v\n  %s", m.name, time.Since(began).Round(time.Second), seen)
	}
}

// scratch copies what a run needs of the module.
func scratch(t *testing.T, dir string) {
	t.Helper()
	for _, part := range []string{"arbiter", "broker", "codec", "internal", "minion", "task"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", "..", part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("..", "..", file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var broken = regexp.MustCompile(`(?m)^ *(` + strings.Join(names(verdicts), "|") + `): .*$`)

func names(all []Verdict) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// caught runs the suite in a copy, and returns the first thing that the checker
// says is broken.
func caught(t *testing.T, dir string, seed uint64) string {
	t.Helper()
	cmd := exec.Command("go", "test", "./internal/chaos", "-count=1", "-run", "^TestChaos$", "-args",
		"-duration", "15s", "-patience", "15s", "-seed", fmt.Sprint(seed))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	found := broken.FindString(string(out))
	if found == "" {
		t.Fatalf("the suite ended without a verdict:\n%s", out)
	}
	return strings.TrimSpace(found)
}
