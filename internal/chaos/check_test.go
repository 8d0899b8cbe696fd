package chaos

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// script is a history in lines, each of a time in milliseconds, a process, a
// kind, a key, and what the kind needs. The lease is 100 ms.
func script(t *testing.T, text string) []Event {
	t.Helper()
	var all []Event
	attempts := map[string]int{"1": 1, "2": 2, "3": 3, "4": 4}
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		at, err := time.ParseDuration(w[0] + "ms")
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		w = append(w, "", "", "", "", "")
		e := Event{At: int64(at) + 1, Proc: w[1], Kind: Kind(w[2]), Key: w[3]}
		switch e.Kind {
		case Send:
			switch w[4] {
			case "pipe":
				e.Flow = &Flow{Pipe: true, Members: strings.Split(w[5], ",")}
			case "group", "failing", "collecting", "squad":
				e.Flow = &Flow{Members: strings.Split(w[5], ","), Callback: e.Key + "c", Finalizer: e.Key + "f",
					Fails: w[4] == "failing" || w[4] == "collecting", Collect: w[4] == "collecting", Squad: w[4] == "squad"}
			}

		case Start: // attempt, what came from upstream, its id if it is not the key, retries
			e.Retried = attempts[w[7]]
			e.Attempt, e.ID = attempts[w[4]], e.Key
			if w[5] != "" && w[5] != "-" {
				e.Up = strings.Split(w[5], ",")
			}
			if w[6] != "" && w[6] != "-" {
				e.ID = w[6]
			}
		case Return: // attempt and outcome; the value is what the others call it
			e.Attempt, e.ID, e.Outcome, e.Value = attempts[w[4]], e.Key, w[5], e.Key+"#"+w[4]
		case Promise:
			e.Attempt, e.Parent = attempts[w[4]], w[5]
		case Got, Killed:
			e.Outcome, e.Value = strings.ReplaceAll(w[4], "_", " "), w[5]
		case Hit: // its key is the target; the fault, and until when
			e.Target, e.Key, e.Fault = w[3], "", strings.ReplaceAll(w[4], "_", " ")
			if until, err := time.ParseDuration(w[5] + "ms"); err == nil {
				e.Until = int64(until) + 1
			}
		}
		all = append(all, e)
	}
	return all
}

const good = `
	0 s0.1 send a
	1 s0.1 accepted a
	5 m0.1 start a 1
	9 m0.1 return a 1 ok
	12 s0.1 got a succeeded a#1
	13 injector got a succeeded a#1
`

var histories = []struct {
	name string
	text string
	want string // verdicts, in order
}{
	{"plain", good, ""},
	{"accepted, never seen again", "0 s send a\n 1 s accepted a", "lost"},
	{"started, never done", "0 s send a\n 5 m start a 1", "lost"},
	{"indeterminate, nowhere", "0 s send a\n 1 s unknown a", ""},
	{"indeterminate without a word, and there", "0 s send a\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", ""},
	{"refused", "0 s send a\n 1 s refused a", ""},
	{"refused, and runs", "0 s send a\n 1 s refused a\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", "after refusal"},
	{"refused after an unknown outcome", "0 s send a\n 1 s unknown a\n 2 s refused a\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", ""},

	{"twice the same attempt", good + "7 m1.1 start a 1", "unexplained"},
	{"two tasks of one", good + "7 m1.1 start a 1 - other", "unexplained"},
	{"again without a fault", "0 s send a\n 5 m0.1 start a 1\n 9 m1.1 start a 2\n 10 m1.1 return a 2 ok\n 11 s got a succeeded a#2", "unexplained"},
	{"again after a retry", "0 s send a\n 5 m0.1 start a 1\n 6 m0.1 return a 1 retry\n 9 m1.1 start a 2\n 10 m1.1 return a 2 ok\n 11 s got a succeeded a#2", ""},
	{"again after a kill of its minion", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 kill\n 109 m1.1 start a 2\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", ""},
	{"a retry that was asked for", "0 s send a\n 5 m0.1 start a 1\n 6 m0.1 return a 1 retry\n 9 m1.1 start a 2 - - 1\n 10 m1.1 return a 2 ok\n 11 s got a succeeded a#2", ""},
	{"a retry used up by a kill", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 kill\n 109 m1.1 start a 2 - - 1\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", "retry used"},
	{"again after a kill of another minion", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m1.1 kill\n 109 m1.2 start a 2\n 110 m1.2 return a 2 ok\n 111 s got a succeeded a#2", "unexplained"},
	{"again within the lease", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 kill\n 39 m1.1 start a 2\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", "too early"},
	{"again after a fault of its place", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0 freeze 21\n 130 m1.1 start a 2\n 140 m1.1 return a 2 ok\n 141 s got a succeeded a#2", ""},
	{"again after a lost reply", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0 cut_after 21\n 130 m1.1 start a 2\n 140 m1.1 return a 2 ok\n 141 s got a succeeded a#2", "unexplained"},
	{"again after a fault of the server", "0 s send a\n 5 m0.1 start a 1\n 20 i hit server server_kill 21\n 30 m1.1 start a 2\n 40 m1.1 return a 2 ok\n 41 s got a succeeded a#2", ""},
	{"again after a fault long before", "0 i hit m0 freeze 10\n 200 s send a\n 205 m0.1 start a 1\n 230 m1.1 start a 2\n 240 m1.1 return a 2 ok\n 241 s got a succeeded a#2", "unexplained"},
	{"again after a fault long after its return", "1 s send a\n 5 m0.1 start a 1\n 6 m0.1 return a 1 ok\n 200 i hit m0 freeze 210\n 300 m1.1 start a 2\n 340 m1.1 return a 2 ok\n 341 s got a succeeded a#2", "unexplained"},

	{"two results", good + "6 m1.1 start a 1\n 8 m1.1 return a 1 ok\n 4 i hit m0 freeze\n 14 m1.1 start a 2\n 15 m1.1 return a 2 ok\n 16 s got a succeeded a#2", "unexplained, unexplained, settled twice, settled twice"},
	{"again after its result", good + "4 i hit m0 end\n 14 m1.1 start a 2", "settled twice"},
	{"two outcomes", good + "14 s got a canceled", "settled twice"},
	{"a result out of nowhere", good + "14 s got a succeeded a#7", "wrong result"},
	{"a result without a value", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 ok\n 7 s got a succeeded", "wrong end"},

	{"failed as meant", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 fail\n 7 s got a failed a#1", ""},
	{"failed, and was not", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 ok\n 7 s got a failed a#1", "wrong end"},
	{"failed after an error that asks for more", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 retry\n 7 s got a failed a#1", "wrong result"},
	{"canceled by nobody", "0 s send a\n 1 s accepted a\n 7 s got a canceled", "wrong end"},
	{"expired", "0 s send a\n 1 s accepted a\n 7 s got a expired", "wrong end"},

	{"killed in time", "0 s send a\n 1 s accepted a\n 2 s kill a\n 3 s killed a never_started\n 7 s got a canceled", ""},
	{"killed in time, and started", "0 s send a\n 1 s accepted a\n 2 s kill a\n 3 s killed a never_started\n 5 m start a 1\n 7 s got a canceled", "after kill"},
	{"killed in time, and has succeeded", "0 s send a\n 1 s accepted a\n 2 s kill a\n 5 m start a 1\n 6 m return a 1 ok\n 9 s killed a never_started\n 12 s got a succeeded a#1", "after kill"},
	{"killed in time, and started by one that was stopped", "0 s send a\n 1 s accepted a\n 1 i hit m stop 4\n 2 s kill a\n 3 s killed a never_started\n 5 m start a 1\n 7 s got a canceled", ""},
	{"killed while it runs", "0 s send a\n 1 s accepted a\n 2 m start a 1\n 3 s kill a\n 4 s killed a stopping\n 5 m return a 1 cut\n 7 s got a canceled", ""},
	{"killed while it runs, and retried", "0 s send a\n 1 s accepted a\n 2 m start a 1\n 3 s kill a\n 4 s killed a stopping\n 5 m return a 1 retry\n 1200 m start a 2\n 1201 m return a 2 ok\n 1207 s got a succeeded a#2", "after kill"},

	{"promise kept", good + "7 m0.1 promise b 1 a\n 15 m start b 1\n 16 m return b 1 ok\n 17 i got b succeeded b#1", ""},
	{"promise broken", good + "7 m0.1 promise b 1 a", "lost"},
	{"promise of an attempt that failed", "0 s send a\n 5 m start a 1\n 6 m promise b 1 a\n 7 m return a 1 fail\n 8 s got a failed a#1\n 15 m start b 1\n 16 m return b 1 ok\n 17 i got b succeeded b#1", "unexplained"},

	{"pipe", pipe, ""},
	{"pipe, a step too soon", strings.Replace(pipe, "10 m start y", "5 m start y", 1), "out of order"},
	{"pipe, a step with another result", strings.Replace(pipe, "y 1 x#1", "y 1 x#2", 1), "out of order, wrong result, settled twice"},
	{"pipe that fails without a cause", strings.Replace(pipe, "succeeded y#1", "failed", 1), "wrong end"},
	{"pipe that ends with another result", strings.Replace(pipe, "p succeeded y#1", "p succeeded y#3", 1), "wrong result, settled twice"},

	{"lost in a failover", "0 s send a\n 1 s accepted a\n 500 i hit server failover 900", ""},
	{"lost long before a failover", "0 s send a\n 1 s accepted a\n 1500 i hit server failover 1900", "lost"},

	{"group", group, ""},
	{"group, no callback", without(group, "gc"), "not once, out of order, wrong result"},
	{"group, no finalizer", without(group, "gf"), "not once"},
	{"group, callback too soon", strings.Replace(group, "10 m start gc", "7 m start gc", 1), "out of order"},
	{"group, finalizer too soon", strings.Replace(group, "20 m start gf", "11 m start gf", 1), "out of order"},
	{"group, another result handed on", strings.Replace(group, "x#1,y#1", "x#1,y#2", 1), "wrong result, settled twice"},
	{"group, callback twice", group + "15 m start gc 2 x#1,y#1", "unexplained, settled twice"},
	{"group that is killed", killedGroup, ""},
	{"group that is killed, and a member starts", strings.Replace(killedGroup, "7 m start y", "1500 m start y", 1), "after kill"},
	{"group that fails", failing, ""},
	{"group that fails, and its callback", failing + "10 m start gc 1\n 11 m return gc 1 ok\n 12 i got gc succeeded gc#1", "not once"},
	{"group that minds no failure", collecting, ""},
	{"group that minds no failure, no callback", without(collecting, "gc"), "not once, out of order, wrong result"},

	{"squad", strings.Replace(group, "g group", "g squad", 1), ""},
	{"squad that does not start", "0 s send g squad x,y\n 1 s refused g", ""},
	{"squad that was refused, and starts", "0 s send g squad x,y\n 1 s refused g\n 2 m start x 1\n 3 m return x 1 ok\n 4 i got x succeeded x#1", "after refusal"},
	{"squad that starts in part", "0 s send g squad x,y\n 1 s unknown g\n 2 m start x 1\n 3 m return x 1 ok\n 4 i got x succeeded x#1", "in part"},
}

const pipe = `
	0 s send p pipe x,y
	1 s accepted p
	2 m start x 1
	6 m return x 1 ok
	10 m start y 1 x#1
	11 m return y 1 ok
	12 s got p succeeded y#1
	13 i got x succeeded x#1
	14 i got y succeeded y#1
`

const parts = `
	2 m start x 1
	6 m return x 1 ok
	3 m start y 1
	8 m return y 1 ok
	10 m start gc 1 x#1,y#1
	12 m return gc 1 ok
	20 m start gf 1
	21 m return gf 1 ok
	23 i got x succeeded x#1
	24 i got y succeeded y#1
	25 i got gc succeeded gc#1
	26 i got gf succeeded gf#1
`

const group = `
	0 s send g group x,y
	1 s accepted g
	22 s got g succeeded gc#1
` + parts

// A member runs when the group is killed, the other one is about to.
const killedGroup = `
	0 s send g group x,y
	1 s accepted g
	2 m start x 1
	5 s kill g
	6 s killed g stopping
	7 m start y 1
	8 m return y 1 cut
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g canceled
	23 i got x canceled
	24 i got y canceled
	26 i got gf succeeded gf#1
`

const collecting = `
	0 s send g collecting x,y
	1 s accepted g
	2 m start x 1
	6 m return x 1 fail
	3 m start y 1
	8 m return y 1 ok
	10 m start gc 1
	12 m return gc 1 ok
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g succeeded gc#1
	23 i got x failed x#1
	24 i got y succeeded y#1
	25 i got gc succeeded gc#1
	26 i got gf succeeded gf#1
`

const failing = `
	0 s send g failing x,y
	1 s accepted g
	2 m start x 1
	6 m return x 1 fail
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g failed
	23 i got x failed x#1
	24 i got y canceled
	26 i got gf succeeded gf#1
`

// without leaves out what a key does.
func without(text, key string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) < 4 || w[3] != key {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	told := make(map[Verdict]bool)
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) {
			r := Check(script(t, h.text), 100*time.Millisecond)
			var got []string
			for _, c := range r.Cases {
				v, _, _ := strings.Cut(c, ":")
				got = append(got, v)
				told[Verdict(v)] = true
			}
			slices.Sort(got)
			want := strings.Split(h.want, ", ")
			slices.Sort(want)
			if strings.Join(got, ", ") != strings.Join(want, ", ") || r.Passed() != (h.want == "") {
				t.Errorf("want %q, got\n%v", h.want, r)
			}
		})
	}
	for _, v := range verdicts {
		if !told[v] {
			t.Errorf("no history has the verdict %q; there are %v", v, slices.Sorted(maps.Keys(told)))
		}
	}
}
