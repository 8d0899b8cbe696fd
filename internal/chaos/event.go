package chaos

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	// By submitters.
	Send     Kind = "send"     // a task or flow is about to be sent
	Accepted Kind = "accepted" // the send returned no error
	Unknown  Kind = "unknown"  // it returned that nobody knows
	Refused  Kind = "refused"  // it returned that nothing is stored
	Kill     Kind = "kill"     // a kill is about to be asked for
	Killed   Kind = "killed"   // it returned the verdict in Outcome
	Got      Kind = "got"      // a result came: Outcome and Value

	// By handlers.
	Start   Kind = "start"   // an attempt starts, with Up from upstream
	Return  Kind = "return"  // it is about to return Outcome and Value
	Promise Kind = "promise" // Key goes out if this attempt at Parent succeeds

	// By the injector, and by whoever notices that the machine was too slow.
	Hit Kind = "hit" // Fault struck Target from At to Until

	// By the wrapper of a process of the simulation: the broker has recorded that an
	// attempt is about to start.
	Recorded Kind = "recorded"

	// By who stores what was sealed for one task again as another one: ID is the new one.
	// With an Outcome, that one has ended so.
	Replayed Kind = "replayed"

	Damaged Kind = "damaged" // what is stored of the task may be damaged from here on; with Value, it was, and that says how

	// By who watches a server.
	Script Kind = "script" // a script kept it for too long: Value says which
)

// Outcomes of [Got].
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Canceled  = "canceled"
	Expired   = "expired"
	GivenUp   = "given up" // as a task that kills its minions
)

// Outcomes of [Return].
const (
	OK    = "ok"
	Retry = "retry" // an error that asks for another attempt
	Fail  = "fail"  // an error for good
	Cut   = "cut"   // its context has ended
)

// NeverStarted is the outcome of a kill that came in time.
const NeverStarted = "never started"

// Server is the target of faults that strike everybody.
const Server = "server"

// Event is a line of a ledger. Which fields are set depends on the kind.
type Event struct {
	At      int64    `json:"at"` // nanoseconds since 1970; one clock for all
	Kind    Kind     `json:"kind"`
	Proc    string   `json:"proc,omitempty"` // who wrote it: m0.2 is the second process in place m0
	Key     string   `json:"key,omitempty"`  // of the task or flow; the test's own name of it
	ID      string   `json:"id,omitempty"`   // the system's
	Attempt int      `json:"attempt,omitempty"`
	Retried int      `json:"retried,omitempty"` // of Start: how many retries it is told were used
	Outcome string   `json:"outcome,omitempty"`
	Value   string   `json:"value,omitempty"` // names the attempt that returned it
	Up      []string `json:"up,omitempty"`
	Parent  string   `json:"parent,omitempty"`
	Flow    *Flow    `json:"flow,omitempty"`   // of Send, unless it is of a single task
	Prompt  bool     `json:"prompt,omitempty"` // of Send: minions were idle, and had nothing to wait for
	Over    bool     `json:"over,omitempty"`   // of Send: all faults were
	Within  int64    `json:"within,omitempty"` // of Send: nanoseconds until its deadline, 0 if it has none
	Fault   string   `json:"fault,omitempty"`  // of Hit; if it is Poisoned, Key is the task that did it
	Target  string   `json:"target,omitempty"` // a process, a place, or Server
	Until   int64    `json:"until,omitempty"`
}

// Flow is a group or a pipe, by the keys of its parts.
type Flow struct {
	Pipe      bool     `json:"pipe,omitempty"`
	Squad     bool     `json:"squad,omitempty"` // a group whose members start together
	Members   []string `json:"members"`
	Callback  string   `json:"callback,omitempty"`
	Finalizer string   `json:"finalizer,omitempty"`
	Fails     bool     `json:"fails,omitempty"`   // a member is meant to fail for good
	Collect   bool     `json:"collect,omitempty"` // and the callback runs all the same
}
