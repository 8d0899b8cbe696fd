// Arbitergen generates typed handles for functions that are tasks of Arbiter.
//
// A comment directly above a function or method makes the function a task:
//
//	//go:generate go tool arbitergen
//
//	// Add returns x + y.
//	//
//	//arbiter:task name=simple_add
//	func Add(ctx context.Context, x, y int) (int, error) { return x + y, nil }
//
// In the same folder this generates arbiter_gen.go. It has AddArgs, the arguments of Add; AddTask, the handle,
// whose methods Bind, Apply and Call take the parameters of Add; and RegisterTasks, which registers all tasks of
// the package with a minion. The handles can be in another package instead: see Handles without functions.
//
// # Functions
//
// The first parameter may be a context.Context. It is followed by any number of parameters, of types that package
// codec can encode; the last one may be variadic. The results are none, (error), (R) or (R, error). Call returns
// (R, error), or only an error if there is no R.
//
// A method can be a task as well. The handle of the method Send of a type Worker is WorkerSendTask. RegisterWorkerTasks
// registers the tasks of Worker; the program gives it the Worker on which a minion calls the methods.
//
// If a parameter is named upstream, or the comment names one with upstream=, the handle has a method Step, which binds
// all other parameters. In a pipe, that parameter gets the result of the step before.
//
// # Keys
//
//	name=NAME           the task's name; default pkg.Func or pkg.Type.Method
//	queue=NAME          the queue it is sent to
//	delay=DURATION      a call is due that long after it was sent
//	within=DURATION     a call expires that long after it was sent
//	timeout=DURATION    the limit of one attempt, such as 30s
//	slots=NUMBER        how many slots of its minion it takes while it runs
//	retries=NUMBER      how often it is run again after an error, 0 to 10000
//	backoff=constant:DURATION or exponential:BASE..LIMIT
//	                    the wait before a retry, as in exponential:1s..10m
//	retention=DURATION  how long its result is kept, such as 72h
//	dead-retention=DURATION
//	                    how long a call that has failed for good is kept
//	unique=args         a second call with the same arguments is refused while one
//	                    is queued or running
//	unique=PARAMETER,PARAMETER
//	                    the same, where only these parameters count
//	unique-key=KEY      the same, where all calls have the same key
//	unique-in=SCOPE:KEY the same, for all tasks that name the scope
//	unique-for=DURATION the key is held that long after the call was sent, at least
//	unique-until=start  the key is free when the call starts
//	on-conflict=refuse|join|replace|latest|cancel
//	                    what becomes of a second call
//	conflict-max-age=DURATION
//	                    a call that has waited for longer is not replaced
//	priority=NUMBER     0 to 9; a higher one is handed out first
//	fair=ARGUMENT       calls take turns by the value of that argument
//	sequence=ARGUMENT   calls with the same value run one after the other
//	on-failure=stop     the sequence halts if a call of it fails for good
//	limit=NAME          it counts for the limit with that name
//	key=ARGUMENT        each value is counted on its own, in the limit before
//	cost=ARGUMENT       how much of the limit before it uses, an integer
//	meta=KEY:VALUE      metadata that travels with its calls
//	isolated            each attempt runs in a process of its own
//	inherit             its calls end with the running task that sent them
//	upstream=PARAMETER  the parameter that gets the previous step's result;
//	                    default upstream
//	optional=PARAMETER  a call may omit it; its value is then the zero value
//	default=PARAMETER:VALUE
//	                    a call may omit it; its value is then VALUE
//
// The keys meta, optional and default can be repeated, and so can limit, each with a key and a cost of its own. A word with spaces is quoted as a whole: "meta=team:mail and
// more". Each key from queue to inherit is an option of package task, whose documentation has its limits and its
// default; on-failure, key and cost are parts of the options Sequence and Limit. The options ETA and Deadline are points in time.
// They are for single calls, and have no key.
//
// # Arguments as keys
//
// The keys fair, sequence, key and cost name an argument: a parameter, or a field of a parameter:
//
//	//arbiter:task queue=mails fair=order.Tenant limit=smtp limit=tenant key=order.Tenant cost=copies
//	func Send(ctx context.Context, order Order, copies int) error
//
// Each call is counted for two limits here. All of smtp costs 1; of tenant, each value of order.Tenant is counted on its own, and a
// call costs as much as copies says. A key and a cost belong to the limit before them. Package limit makes the definitions of limits.
//
// The argument of a key is a string, an integer, a bool, or a type with a method String. The argument of a cost is an integer. An
// empty key, or a cost below 1, is an error of the call. The parameter for the result of the step before can't be named, since its
// value is not known when the call is sent. Fields behind pointers can't be named either.
//
// # Optional parameters
//
// A call by name may omit an optional parameter, by name or at the end of the positional arguments:
//
//	//arbiter:task name=add_in_pipe optional=upstream
//	func AddInPipe(x, y, upstream int) int { return x + y + upstream }
//
//	//arbiter:task name=search default=limit:10 default=wait:1m30s
//	func Search(query string, limit int, wait time.Duration) ([]string, error)
//
// Strings, bools, numbers and durations can have defaults. A default that does not fit its parameter is an error of
// arbitergen. In the struct of arguments, a default is a tag that package codec reads, so structs written by hand can
// have defaults as well.
//
// Bind, Apply and Call take all parameters, also optional ones, so that the compiler can check each of them. If the
// parameter for the result of the step before is optional, the task can be the first step of a pipe, with Bind, and a
// later step, with Step. If that parameter is a pointer as well, Step takes a step with the type that it points to, and
// nil tells the function that there was no step before.
//
// # Schedules
//
// Beside the task, further comments declare schedules of it:
//
//	//arbiter:task name=report
//	//arbiter:schedule "cron=0 30 3 * * *" zone=Europe/Berlin overlap=skip arg=region:north
//	//arbiter:schedule name=report.south every=1h arg=region:south
//	func Report(ctx context.Context, region string) error
//
// They are generated into a function Schedules, which returns the schedules of all tasks of the package. Give it to
// schedule.Declared: then schedule.Run stores them, and removes those that the code does not declare any more. Package schedule and
// docs/schedules.md have the meaning of the keys:
//
//	name=NAME             the schedule's name; default the name of the task
//	cron=EXPRESSION       the times, as a cron expression of five or six fields
//	zone=ZONE             its time zone, such as Europe/Berlin; default UTC
//	every=DURATION        in place of cron: an interval
//	from=TIME             the first moment of an interval
//	start=TIME            no tick before it
//	end=TIME              no tick after it
//	runs=NUMBER           the schedule ends after so many runs
//	except=DAY            a day without ticks, such as 2026-12-25; may be repeated
//	jitter=DURATION       each tick is late by a part of this time
//	overlap=allow|skip|queue-one|queue-all|cancel
//	                      what happens with a tick while an earlier run goes on; default allow
//	missed=once|skip|all  what happens with ticks that were missed; default once
//	window=DURATION       how old a missed tick may be; default 24h
//	pause-on-failure      it is paused when one of its tasks has failed for good
//	arg=PARAMETER:VALUE   the value of a parameter; may be repeated
//
// A TIME is one such as 2026-01-05T08:00:00Z. Each parameter that is not optional needs a value: a string, a bool, a number or a duration. One with
// a default has it if no other value is given. The schedules of tasks in test files are in a function SchedulesOfTests.
//
// # Tests
//
// The handles of tasks in test files are generated into arbiter_gen_test.go. RegisterTestTasks registers these tasks; in
// a package x_test, RegisterTasks does.
//
// # Handles without functions
//
// A program that only submits tasks should not link the functions and their imports. With the line
//
//	//go:generate go tool arbitergen -client ../client
//
// in a package worker, the handles and the types of arguments are generated into a package client, in
// ../client/arbiter_gen_client.go. The path is relative to the folder of worker, and its last element is the name of the
// client package. That package imports package task and the packages that the signatures mention. Its handles have the
// documentation of the functions. RegisterTasks stays in worker, which imports client. So one program submits with
//
//	fut, err := client.AddTask.Apply(ctx, arb, 1, 2)
//
// and another one executes, with worker.RegisterTasks.
//
// Signatures must not mention types that worker declares, since client can't import worker. Move such types to a package
// that both can import, for instance to a file of your own in client. The functions need not be exported: the handle of
// add is client.AddTask. The handles of tasks in test files stay beside them. Each package with tasks needs a client
// package of its own.
//
// The client is only configured in the //go:generate line, and other runs, such as arbitergen -check ./..., find it
// there. When the line is removed, the next run that covers both folders removes the generated file.
//
// # Stale code
//
// Generated code does not compile once the signature of a function has changed, and the error says to run go generate. If
// the handles are in a client package, the package of the functions does not compile either if its arguments and those in
// the client differ. The command
//
//	go tool arbitergen -check ./...
//
// finds all other stale code. It writes nothing, prints the changes that a run would make, and exits with 1 if there are
// any. Errors are printed as file:line:col: message, and the exit code is 2.
//
// # Schemas
//
// With -schema FILE, the names, parameters and results of all tasks in the given packages are written to a file that a
// team keeps under version control. With -compat FILE, the tasks are compared with that file, and changes that break
// queued tasks are refused: a parameter that is removed, renamed, of a narrower type or no longer optional; a parameter
// that is added and not optional, or added before others; another result; a task that is removed. In that case nothing
// is written and the exit code is 1. Another queue or another default is a warning.
//
// Both options with the same file write the new schemas if they are compatible. Give both the same packages:
//
//	go tool arbitergen -compat tasks.json -schema tasks.json ./...
//
// At run time, generated handles have the hash of their schema, and minions report the hashes of their tasks. An arbiter
// with the option CheckSchema refuses calls that no living minion can decode.
package main
