package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// script reads a history from lines. Each line has a time in milliseconds, a process, a kind, a
// key, and more fields that depend on the kind. The lease is 100 ms.
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
		w = append(w, "", "", "", "", "", "")
		e := Event{At: int64(at) + 1, Proc: w[1], Kind: Kind(w[2]), Key: w[3]}
		switch e.Kind {
		case Send:
			switch w[4] {
			case "prompt":
				e.Prompt = true
			case "over":
				e.Over = true
			case "within":
				within, err := time.ParseDuration(w[5] + "ms")
				if err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				e.Within = int64(within)
			case "alone":
				e.Alone = w[5]
			case "pause":
				e.Pause = w[5]
			case "unique":
				e.Unique = &Unique{Key: w[5], Start: w[6] == "start", Window: w[6] == "window", Replaces: w[6] == "replaces" || w[6] == "cancels", Cancels: w[6] == "cancels", Long: w[6] == "long"}
			case "bound": // most, whether it waits for room, pause
				e.Bound = &Bound{Queue: "q", Most: attempts[w[5]], Waits: w[6] == "waits"}
				e.Pause = w[7]
			case "line":
				e.Line, e.Place = w[5], attempts[w[6]]
			case "pipe":
				e.Flow = &Flow{Pipe: true, Members: strings.Split(w[5], ",")}
			case "group", "failing", "collecting", "squad":
				e.Flow = &Flow{Members: strings.Split(w[5], ","), Callback: e.Key + "c", Finalizer: e.Key + "f",
					Fails: w[4] == "failing" || w[4] == "collecting", Collect: w[4] == "collecting", Squad: w[4] == "squad"}
			}

		case Paused, Resuming:
			e.Pause, e.Key = e.Key, ""
		case Refused:
			e.Holder, e.Full = w[4], w[4] == "full"
			if e.Full {
				e.Holder = ""
			}
		case Accepted:
			e.ID = w[4]
		case Ticks: // interval and end
			e.Within, e.Until = millis(t, w[4]), millis(t, w[5])
		case Start: // attempt, results from upstream, id if it differs from the key, retries, slots, schedule and nominal time
			e.Retried = attempts[w[7]]
			e.Attempt, e.ID = attempts[w[4]], e.Key
			if w[5] != "" && w[5] != "-" {
				e.Up = strings.Split(w[5], ",")
			}
			if w[6] != "" && w[6] != "-" {
				e.ID = w[6]
			}
			if w[8] != "" { // slots of the task and of its minion, and the ceiling of its name
				if _, err := fmt.Sscanf(w[8], "%d/%d/%d", &e.Slots, &e.Of, &e.Most); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
			}
			if name, nominal, ok := strings.Cut(w[9], "@"); ok {
				e.Plan, e.Nominal = name, millis(t, nominal)
			}
		case Recorded:
			e.Attempt, e.ID, e.Key = attempts[w[4]], e.Key, ""
		case Return: // attempt and outcome; the value is the key with the attempt
			e.Attempt, e.ID, e.Outcome, e.Value = attempts[w[4]], e.Key, w[5], e.Key+"#"+w[4]
		case Promise:
			e.Attempt, e.Parent = attempts[w[4]], w[5]
		case Got, Killed:
			e.Outcome, e.Value, e.By = strings.ReplaceAll(w[4], "_", " "), w[5], w[6]
			if e.Value == "-" {
				e.Value = ""
			}
		case Replayed: // the new id and the old one
			e.Key, e.ID, e.Value = "", w[3], w[4]
		case Served: // minion, end, queue that is not served
			e.Target, e.Key, e.Value = w[3], "", w[5]
			until, err := time.ParseDuration(w[4] + "ms")
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			e.Until = int64(until) + 1
		case Script:
			e.Target, e.Key, e.Value = w[3], "", w[4]
		case Hit: // target, fault, end of the fault, and for a poison its task
			e.Target, e.Key, e.Fault = w[3], "", strings.ReplaceAll(w[4], "_", " ")
			if e.Fault == Poisoned {
				e.Key = w[6]
			}
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

// millis returns a number of milliseconds in nanoseconds.
func millis(t *testing.T, text string) int64 {
	t.Helper()
	d, err := time.ParseDuration(text + "ms")
	if err != nil {
		t.Fatal(err)
	}
	return int64(d)
}

// without removes the lines about a key.
func without(text, key string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) < 4 || w[3] != key {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// withoutLines removes the lines that contain one of the words.
func withoutLines(text string, words ...string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
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
			t.Errorf("no history has the verdict %q; the verdicts are %v", v, slices.Sorted(maps.Keys(told)))
		}
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	events := script(t, good+`
	20 s0.1 send b
	21 s0.1 accepted b
	22 i hit m0.1 kill 30
	23 s0.1 send g group b,c
	`)
	told := Check(events, 100*time.Millisecond).Evidence(events)
	for _, want := range []string{"sends b", "b is stored", "kill", "a group of b, c"} {
		if !strings.Contains(told, want) {
			t.Errorf("the evidence lacks %q:\n%s", want, told)
		}
	}
	if strings.Contains(told, "sends a\n") {
		t.Errorf("the evidence has task a, which no case is about:\n%s", told)
	}
}
