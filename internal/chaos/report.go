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
	Lost         Verdict = "lost"          // accepted or started, and never done
	Unexplained  Verdict = "unexplained"   // run again, or twice, without a cause
	TooEarly     Verdict = "too early"     // run again while the lease of its minion lived
	SettledTwice Verdict = "settled twice" // two results, or run again after its result
	RetryUsed    Verdict = "retry used"    // by an attempt that was cut short
	WrongResult  Verdict = "wrong result"  // not what an attempt returned
	WrongEnd     Verdict = "wrong end"     // failed or canceled without a cause
	AfterKill    Verdict = "after kill"    // started after a kill had returned
	AfterRefusal Verdict = "after refusal" // started although nothing was stored
	NotOnce      Verdict = "not once"      // a callback or finalizer that ran not at all, or needlessly
	OutOfOrder   Verdict = "out of order"  // a part of a flow that started too soon
	InPart       Verdict = "in part"       // a squad of which not all members started together
	BroughtDown  Verdict = "brought down"  // a server that ended by itself
	TooLong      Verdict = "too long"      // a script that kept a server from everybody else
	Forged       Verdict = "forged"        // started with the seal of another task
	Charged      Verdict = "charged"       // given up for deaths of minions that it can't have caused, or not given up for those that it has
	Late         Verdict = "late"          // started long after it was sent, to idle minions or when all faults were over
)

var verdicts = []Verdict{
	Lost, Unexplained, TooEarly, SettledTwice, RetryUsed, WrongResult, WrongEnd, AfterKill, AfterRefusal, NotOnce, OutOfOrder, InPart, BroughtDown, TooLong, Forged, Charged, Late,
}

// perVerdict is how many cases of each verdict are told.
const perVerdict = 5

// Report is what a history shows.
type Report struct {
	Tasks              int             // that were sent or started, parts of flows included
	Accepted           int             // submissions of tasks and flows
	Refused            int             // of which none is stored
	Indeterminate      int             // submissions that ended without a word
	IndeterminateThere int             // of these, how many have run or are done
	Groups, Pipes      int             // that were sent
	Squads             int             // that were asked for
	SquadsStarted      int             // of these
	Damaged            int             // tasks whose records the test has damaged
	Kills, InTime      int             // of tasks, that returned, and how many before the start
	FlowKills          int             // of groups, squads and pipes, that returned
	Expired            int             // tasks that ended by their deadlines
	GivenUp, Poison    int             // tasks that were given up for the deaths of their minions, and how many of these have ended processes themselves
	Attempts           int             // that started
	Retries            int             // attempts after an error that asked for it
	Prompt             time.Duration   // how long tasks for idle minions waited, on average
	Recovery           time.Duration   // the longest wait of a task that was sent when all faults were over
	Repeats            map[string]int  // attempts after a fault, by fault
	Excused            map[Verdict]int // breaches by what a server may lose
	Broken             map[Verdict]int // all others
	Cases              []string        // the first of each verdict, in words

	h      *history
	broken map[string]bool // the tasks and flows of Cases, by key
}

func (h *history) newReport() *Report {
	return &Report{h: h, Repeats: make(map[string]int), Excused: make(map[Verdict]int), Broken: make(map[Verdict]int), broken: make(map[string]bool)}
}

func (r *Report) add(t *record, v Verdict, format string, args ...any) {
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

// Evidence tells what happened to the tasks and flows of the cases, with all faults in
// between. It is what is left of a run that can't be repeated.
func (r *Report) Evidence(events []Event) string {
	return tell(events, func(e Event) bool {
		if e.Flow != nil && slices.ContainsFunc(e.Flow.parts(), func(key string) bool { return r.broken[key] }) {
			return true
		}
		return e.Kind == Hit || r.broken[e.Key] || r.broken[e.Parent]
	})
}

// Passed says whether no guarantee is broken.
func (r *Report) Passed() bool { return len(r.Broken) == 0 }

// String tells the report in some lines, the verdict last.
func (r *Report) String() string {
	var b strings.Builder
	for i, fault := range slices.Sorted(maps.Keys(r.h.hits)) {
		fmt.Fprintf(&b, "%s%d %s", map[bool]string{true: "faults: "}[i == 0], r.h.hits[fault], fault)
		b.WriteString(map[bool]string{true: "\n", false: ", "}[i == len(r.h.hits)-1])
	}
	fmt.Fprintf(&b, "%d tasks, %d groups, %d pipes and %d squads (%d started) among what was sent\n",
		r.Tasks, r.Groups, r.Pipes, r.Squads, r.SquadsStarted)
	fmt.Fprintf(&b, "%d submissions accepted, %d refused, %d indeterminate (%d of these are there)\n",
		r.Accepted, r.Refused, r.Indeterminate, r.IndeterminateThere)
	fmt.Fprintf(&b, "%d kills of tasks, %d before the start; %d kills of groups, pipes and squads\n", r.Kills, r.InTime, r.FlowKills)
	fmt.Fprintf(&b, "%d tasks expired; %d were given up for the deaths of their minions, %d of which they had caused; %d attempts, %d of them retries",
		r.Expired, r.GivenUp, r.Poison, r.Attempts, r.Retries)
	for _, fault := range slices.Sorted(maps.Keys(r.Repeats)) {
		fmt.Fprintf(&b, ", %d again after %s", r.Repeats[fault], fault)
	}
	if r.Damaged > 0 {
		fmt.Fprintf(&b, "\n%d more tasks were damaged in the store", r.Damaged)
	}
	if n := len(r.h.replays); n > 0 {
		fmt.Fprintf(&b, "\n%d sealed tasks were stored again as others, %d of which are known to have failed", n, r.Refusals())
	}
	if r.Prompt > 0 {
		fmt.Fprintf(&b, "\nidle minions started what was sent after %v", r.Prompt.Round(10*time.Microsecond))
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
		fmt.Fprintf(&b, "\nwhat a server may lose has cost: %v", r.Excused)
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
