package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verdict is a way in which a guarantee is broken.
type Verdict string

// The verdicts.
const (
	Lost         Verdict = "lost"          // accepted or started, but never done
	Unexplained  Verdict = "unexplained"   // run again, or run twice, without a cause
	TooEarly     Verdict = "too early"     // run again while the lease of its minion was valid
	SettledTwice Verdict = "settled twice" // two results, or run again after its result
	RetryUsed    Verdict = "retry used"    // an attempt that was cut short has used up a retry
	WrongResult  Verdict = "wrong result"  // a result that no attempt returned
	WrongEnd     Verdict = "wrong end"     // failed or canceled without a cause
	AfterKill    Verdict = "after kill"    // started after a kill had returned, or after another task had replaced it; or ran on after that had cancelled it
	AfterRefusal Verdict = "after refusal" // started although nothing was stored
	NotOnce      Verdict = "not once"      // a callback or finalizer did not run, or ran without need
	OutOfOrder   Verdict = "out of order"  // a part of a flow, or a task of a sequence, started too soon
	InPart       Verdict = "in part"       // the members of a squad did not start together
	BroughtDown  Verdict = "brought down"  // a server, minion or arbiter ended by itself
	TooLong      Verdict = "too long"      // a script kept a server busy for too long
	Forged       Verdict = "forged"        // started with the seal of another task
	Charged      Verdict = "charged"       // given up for deaths that it can't have caused, or not given up for those that it has caused
	Crowded      Verdict = "crowded"       // ran beside so many others that a limit, a ceiling or the slots of a minion were exceeded, or beside another one with its unique key
	Outlived     Verdict = "outlived"      // refused because of a unique key whose task had ended or, if that frees it, started
	AfterPause   Verdict = "after pause"   // started while it was paused
	Overfull     Verdict = "overfull"      // stored in a queue that had no room
	NoRoom       Verdict = "no room"       // refused, or left waiting for room, although its queue had room
	Late         Verdict = "late"          // started or expired too late
	Untimely     Verdict = "untimely"      // a tick of a schedule is missing, or started when it was not due
)

var verdicts = []Verdict{
	Lost, Unexplained, TooEarly, SettledTwice, RetryUsed, WrongResult, WrongEnd, AfterKill, AfterRefusal, NotOnce, OutOfOrder, InPart, BroughtDown, TooLong, Forged, Charged, Crowded, Outlived, AfterPause, Overfull, NoRoom, Late, Untimely,
}

// perVerdict is the number of cases of each verdict in a report.
const perVerdict = 5

// Report is the result of [Check].
type Report struct {
	Tasks              int             // tasks that were sent or started, parts of flows included
	Accepted           int             // accepted submissions of tasks and flows
	Refused            int             // refused submissions
	Indeterminate      int             // submissions with an unknown outcome
	IndeterminateThere int             // those of Indeterminate that have run or are done
	Groups, Pipes      int             // groups and pipes that were sent
	Squads             int             // squads that were asked for
	SquadsStarted      int             // those of Squads that have started
	Damaged            int             // tasks whose records the test has damaged
	Kills, InTime      int             // kills of tasks that returned, and those of them before the start
	FlowKills          int             // kills of groups, squads and pipes that returned
	Ticks              int             // ticks of schedules that have started
	Expired            int             // tasks that ended by their deadlines
	Duplicates         int             // sends that were refused, or joined another task, because that one had the unique key
	Replaced           int             // tasks that others with their unique key have replaced
	GivenUp, Poison    int             // tasks that were given up for deaths of minions, and those of them that have ended processes themselves
	Attempts           int             // attempts that started
	Retries            int             // attempts after an error that asked for it
	Prompt             time.Duration   // average time that tasks for idle minions waited
	Recovery           time.Duration   // longest wait of a task that was sent when all faults were over
	Repeats            map[string]int  // attempts after a fault, by fault
	Excused            map[Verdict]int // broken rules that a loss of data in a server explains
	Broken             map[Verdict]int // all other broken rules
	Cases              []string        // the first cases of each verdict, in words

	h      *history
	broken map[string]bool // keys of the tasks and flows in Cases
}

func (h *history) newReport() *Report {
	return &Report{h: h, Repeats: make(map[string]int), Excused: make(map[Verdict]int), Broken: make(map[Verdict]int), broken: make(map[string]bool)}
}

func (r *Report) add(t *taskHistory, v Verdict, format string, args ...any) {
	if r.h.excused(t) {
		r.Excused[v]++
		return
	}
	r.Broken[v]++
	if r.Broken[v] <= perVerdict {
		r.Cases = append(r.Cases, fmt.Sprintf("%s: %s", v, fmt.Sprintf(format, args...)))
		r.broken[t.key] = true
	}
}

// Evidence returns the histories of the tasks and flows in Cases, with all faults. A run can't be
// repeated, so this is all that is left of it.
func (r *Report) Evidence(events []Event) string {
	return tell(events, func(e Event) bool {
		if e.Flow != nil && slices.ContainsFunc(e.Flow.parts(), func(key string) bool { return r.broken[key] }) {
			return true
		}
		return e.Kind == Hit || r.broken[e.Key] || r.broken[e.Parent]
	})
}

// Passed reports whether no guarantee is broken.
func (r *Report) Passed() bool { return len(r.Broken) == 0 }

// String returns the report in several lines, with the verdict at the end.
func (r *Report) String() string {
	var b strings.Builder
	for i, fault := range slices.Sorted(maps.Keys(r.h.hits)) {
		fmt.Fprintf(&b, "%s%d %s", map[bool]string{true: "faults: "}[i == 0], r.h.hits[fault], fault)
		b.WriteString(map[bool]string{true: "\n", false: ", "}[i == len(r.h.hits)-1])
	}
	fmt.Fprintf(&b, "%d tasks; %d groups, %d pipes and %d squads (%d started) were sent\n",
		r.Tasks, r.Groups, r.Pipes, r.Squads, r.SquadsStarted)
	fmt.Fprintf(&b, "%d submissions accepted, %d refused, %d indeterminate (%d of these were stored)\n",
		r.Accepted, r.Refused, r.Indeterminate, r.IndeterminateThere)
	fmt.Fprintf(&b, "%d kills of tasks, %d before the start; %d kills of groups, pipes and squads\n", r.Kills, r.InTime, r.FlowKills)
	fmt.Fprintf(&b, "%d tasks expired; %d were given up for deaths of their minions, of which %d had caused these deaths; %d attempts, %d of them retries",
		r.Expired, r.GivenUp, r.Poison, r.Attempts, r.Retries)
	for _, fault := range slices.Sorted(maps.Keys(r.Repeats)) {
		fmt.Fprintf(&b, ", %d again after %s", r.Repeats[fault], fault)
	}
	if r.Duplicates > 0 {
		fmt.Fprintf(&b, "\nfor their unique keys, %d sends were refused or joined other tasks, and %d tasks were replaced", r.Duplicates, r.Replaced)
	}
	if r.Ticks > 0 {
		fmt.Fprintf(&b, "\n%d of the tasks were ticks of %d schedules", r.Ticks, len(r.h.plans))
	}
	if r.Damaged > 0 {
		fmt.Fprintf(&b, "\n%d more tasks were damaged in the store", r.Damaged)
	}
	if n := len(r.h.replays); n > 0 {
		fmt.Fprintf(&b, "\n%d sealed tasks were stored again as other tasks, %d of which are known to have failed", n, r.Refusals())
	}
	if r.Prompt > 0 {
		fmt.Fprintf(&b, "\nidle minions started new tasks after %v on average", r.Prompt.Round(10*time.Microsecond))
	}
	if r.Recovery > 0 {
		fmt.Fprintf(&b, "\nwhen all faults were over every queue was served again within %v", r.Recovery.Round(time.Millisecond))
	}
	for _, f := range r.h.faults {
		if f.Fault == PowerFailure {
			fmt.Fprintf(&b, "\na power failure took %s", f.Value)
		}
	}
	if len(r.Excused) > 0 {
		fmt.Fprintf(&b, "\nloss of data in a server explains: %v", r.Excused)
	}
	for _, c := range r.Cases {
		fmt.Fprintf(&b, "\n%s", c)
	}
	b.WriteString("\nverdict: ")
	for _, v := range verdicts {
		fmt.Fprintf(&b, "%s %d, ", v, r.Broken[v])
	}
	if r.Passed() {
		b.WriteString("all guarantees held")
	} else {
		b.WriteString("GUARANTEES BROKEN")
	}
	return b.String()
}
