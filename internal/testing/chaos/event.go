package chaos

// Kind is the kind of an event.
type Kind string

// The kinds of events.
const (
	// Submitters write these.

	Send     Kind = "send"     // a task or flow is about to be sent
	Accepted Kind = "accepted" // the send returned no error
	Unknown  Kind = "unknown"  // the send returned an unknown outcome
	Refused  Kind = "refused"  // the send returned that nothing is stored
	Kill     Kind = "kill"     // a kill is about to be called
	Killed   Kind = "killed"   // the kill returned the verdict in Outcome
	Got      Kind = "got"      // a result arrived: Outcome and Value

	Paused   Kind = "paused"   // the pause in Pause was requested, and the request returned no error
	Resuming Kind = "resuming" // a request to resume it is about to be sent

	Ticks     Kind = "ticks"     // the schedule Key is stored: it is due at each multiple of Within, up to Until
	Stopping  Kind = "stopping"  // the schedule Key is about to be paused
	Stopped   Kind = "stopped"   // a pause of the schedule Key has returned
	Continue  Kind = "continue"  // the schedule Key is about to be resumed
	Continued Kind = "continued" // a resume of the schedule Key has returned

	// Handlers write these.

	Start   Kind = "start"   // an attempt starts; Up holds the results from upstream
	Return  Kind = "return"  // the attempt is about to return Outcome and Value
	Promise Kind = "promise" // Key is sent if this attempt of Parent succeeds

	// The injector writes this, and so does a process that notices that the machine is too slow.

	Hit Kind = "hit" // Fault struck Target from At to Until

	// Recorded is written by the wrapper of a process of the simulation: the broker has recorded
	// that an attempt is about to start.
	Recorded Kind = "recorded"

	// Replayed is written by the spy, which stores data that was sealed for one task as another
	// task. ID is the id of the new task. If Outcome is set, the new task has ended like that.
	Replayed Kind = "replayed"

	Damaged Kind = "damaged" // the records of the task may be damaged from now on; with Value they were, and Value says how

	// Served is written by the audit: from At on all faults were over, and at Until the minion
	// Target served all its queues. If Value is set, it did not yet serve the queue Value.
	Served Kind = "served"

	// Script is written by the watch of a server.
	Script Kind = "script" // the script in Value kept the server busy for too long
)

// Outcomes of [Got].
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Canceled  = "canceled"
	Expired   = "expired"
	GivenUp   = "given up" // with ErrMinionDied
)

// Outcomes of [Return].
const (
	OK    = "ok"
	Retry = "retry" // an error that asks for another attempt
	Fail  = "fail"  // an error for good
	Cut   = "cut"   // because its context ended
)

// NeverStarted is the verdict of a kill that came before the start.
const NeverStarted = "never started"

// Server is the target of faults that strike every process.
const Server = "server"

// Event is a line of a ledger. The kind says which fields are set.
type Event struct {
	At      int64    `json:"at"` // nanoseconds since 1970; one clock for all
	Kind    Kind     `json:"kind"`
	Proc    string   `json:"proc,omitempty"` // the writer: m0.2 is the second process on host m0
	Key     string   `json:"key,omitempty"`  // the test's own name of the task or flow
	ID      string   `json:"id,omitempty"`   // the system's id of it
	Attempt int      `json:"attempt,omitempty"`
	Retried int      `json:"retried,omitempty"` // of Start: the number of retries in task.Info
	Slots   int      `json:"slots,omitempty"`   // of Start: how many slots the task takes; 0 if it waits for others, and lends them
	Of      int      `json:"of,omitempty"`      // of Start: how many slots the minion has
	Most    int      `json:"most,omitempty"`    // of Start: how many tasks of its name may run at once in a minion; 0 if there is no ceiling
	Nominal int64    `json:"nominal,omitempty"` // of Start: the nominal time, in nanoseconds since 1970, if a schedule has sent the task
	Plan    string   `json:"plan,omitempty"`    // of Start: that schedule
	Outcome string   `json:"outcome,omitempty"`
	Value   string   `json:"value,omitempty"` // names the attempt that returned it
	Up      []string `json:"up,omitempty"`
	Parent  string   `json:"parent,omitempty"`
	Flow    *Flow    `json:"flow,omitempty"`   // of Send: nil for a single task
	Prompt  bool     `json:"prompt,omitempty"` // of Send: the minions were idle
	Over    bool     `json:"over,omitempty"`   // of Send: all faults were over
	Within  int64    `json:"within,omitempty"` // of Send: nanoseconds until the deadline, 0 if there is none
	Alone   string   `json:"alone,omitempty"`  // of Send, and of Start for a tick: the limit of one that the task shares with others
	Line    string   `json:"line,omitempty"`   // of Send: the sequence that the task belongs to
	Place   int      `json:"place,omitempty"`  // of Send: its place in the sequence
	Pause   string   `json:"pause,omitempty"`  // of Send: the pause that names the task, while it is in force
	Unique  *Unique  `json:"unique,omitempty"` // of Send: nil if it has no unique key
	Bound   *Bound   `json:"bound,omitempty"`  // of Send: nil if its queue has no bound
	Full    bool     `json:"full,omitempty"`   // of Refused: its queue was full
	Holder  string   `json:"holder,omitempty"` // of Refused: the id of the task that has its unique key
	By      string   `json:"by,omitempty"`     // of Got: the id of the task that has replaced it
	Fault   string   `json:"fault,omitempty"`  // of Hit; if it is Poisoned, Key is the task that ended the process
	Target  string   `json:"target,omitempty"` // of Hit: a process, a host, or Server
	Until   int64    `json:"until,omitempty"`
}

// Unique is the unique key of a task.
type Unique struct {
	Key      string `json:"key"`                // with the queue
	Start    bool   `json:"start,omitempty"`    // it is free when the task starts
	Window   bool   `json:"window,omitempty"`   // it is held for a time
	Replaces bool   `json:"replaces,omitempty"` // the task may replace the one that has the key
	Cancels  bool   `json:"cancels,omitempty"`  // the task cancels the one that has the key and runs, however old that is
	Long     bool   `json:"long,omitempty"`     // the task runs for longer than a minion may take to learn that it is cancelled, and heeds that
}

// Bound is the bound of the queue of a task.
type Bound struct {
	Queue string `json:"queue"`
	Most  int    `json:"most"`            // how many tasks may wait
	Waits bool   `json:"waits,omitempty"` // the call waits for room
}

// Flow is a group or a pipe with the keys of its parts.
type Flow struct {
	Pipe      bool     `json:"pipe,omitempty"`
	Squad     bool     `json:"squad,omitempty"` // a group whose members start together
	Members   []string `json:"members"`
	Callback  string   `json:"callback,omitempty"`
	Finalizer string   `json:"finalizer,omitempty"`
	Fails     bool     `json:"fails,omitempty"`   // a member is meant to fail for good
	Collect   bool     `json:"collect,omitempty"` // the callback runs even so
}
