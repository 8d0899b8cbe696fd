// Arbitergen generates typed handles for functions that are tasks of Arbiter.
//
// A comment directly above a function or method makes it a task:
//
//	//go:generate go tool arbitergen
//
//	// Add returns x + y.
//	//
//	//arbiter:task name=simple_add
//	func Add(ctx context.Context, x, y int) (int, error) { return x + y, nil }
//
// In the same folder this gives arbiter_gen.go with AddArgs, with AddTask, whose
// methods Bind, Apply and Call take the parameters of Add, and with
// RegisterTasks, which tells a minion about all tasks of the package. The handles
// can be in another package instead: see Handles without functions.
//
// # Functions
//
// The first parameter may be a context.Context. Then any number of parameters
// follows, the last one perhaps variadic, of types that package codec can
// encode. The results are none, (error), (R) or (R, error); Call returns (R, error),
// or only an error where there is no R. A method is called
// on the receiver that is given to RegisterWorkerTasks, for a type Worker, and
// its handle is WorkerSendTask. Where a parameter is named upstream, or the
// comment names one with upstream=, the handle has a method Step, which binds
// all the others and leaves this one to the result of the step before.
//
// # Keys
//
//	name=NAME           the task's name; default pkg.Func or pkg.Type.Method
//	queue=NAME          the queue it is sent to
//	delay=DURATION      calls become due that long after they are sent
//	within=DURATION     calls expire that long after they are sent
//	timeout=DURATION    of one attempt, such as 30s
//	retries=NUMBER      how often it is run again after an error, 0 to 10000
//	backoff=constant:DURATION or exponential:BASE..LIMIT
//	                    the wait before a retry, as in exponential:1s..10m
//	retention=DURATION  how long its result is kept, such as 72h
//	dead-retention=DURATION
//	                    how long a call that failed for good is kept
//	unique=KEY          no second call while one is queued or runs
//	unique-in=SCOPE:KEY the same, with the keys of all tasks that name the scope
//	meta=KEY:VALUE      metadata that travels with its calls
//	isolated            each attempt runs in a process of its own
//	inherit             its calls end with the running task that sent them
//	upstream=PARAMETER  the parameter that takes the previous step's result
//	optional=PARAMETER  may be missing in a call, and is its zero value then
//	default=PARAMETER:VALUE
//	                    may be missing in a call, and is VALUE then
//
// The keys meta, optional and default may be repeated. A word with spaces in it
// is quoted as a whole: "meta=team:mail and more". Each key up to inherit is an
// option of package task, whose documentation has its limits and default. The
// options ETA and Deadline are points in time: they are for single calls, and have
// no key.
//
// # Optional parameters
//
// A call by name may leave out an optional parameter, by name or at the end of
// the positional arguments:
//
//	//arbiter:task name=add_in_pipe optional=upstream
//	func AddInPipe(x, y, upstream int) int { return x + y + upstream }
//
//	//arbiter:task name=search default=limit:10 default=wait:1m30s
//	func Search(query string, limit int, wait time.Duration) ([]string, error)
//
// Strings, bools, numbers and durations have defaults; a default that its
// parameter cannot have is an error here. In the struct of arguments a default is
// a tag that package codec reads, so structs written by hand have them as well.
//
// Bind, Apply and Call take all parameters, optional ones too: Go has no other
// form in which the compiler checks each. Where the parameter for the result of
// the step before is optional, a task is a first step by Bind and a later one by
// Step; if it is a pointer as well, Step takes what the pointer points to, and
// nil tells the function that there was no step before.
//
// # Tests
//
// Tasks in test files are generated into arbiter_gen_test.go, and registered by
// RegisterTestTasks, or by RegisterTasks in a package x_test.
//
// # Handles without functions
//
// A program that only submits tasks should not link the functions, nor what they
// import. With
//
//	//go:generate go tool arbitergen -client ../client
//
// in a package worker, the handles and the types of arguments are in a package
// client, in ../client/arbiter_gen_client.go. The folder is relative to that of
// the package, and gives the client its name. It imports task and what the
// signatures mention, and has the documentation of the functions. RegisterTasks
// stays in worker, which imports client. So one program submits with
//
//	fut, err := client.AddTask.Apply(ctx, arb, 1, 2)
//
// and another one, with worker.RegisterTasks, executes.
//
// Signatures must not mention types that worker declares: client cannot import
// worker. Move them to a package that both can import, such as client itself, where
// files of your own may be. The functions need not be exported: the handle of add
// is client.AddTask. Tasks in test files have their handles beside them, as ever.
// A package with tasks has a client of its own.
//
// Only the //go:generate line asks for a client; runs such as arbitergen -check
// ./... find it there. When the line is gone, so is the generated file, as soon as
// a run looks at both folders.
//
// # Stale code
//
// Generated code does not compile once the signature of a function has changed,
// and the error says to run go generate. Where the handles are in a client, the
// package of the functions does not compile either once the arguments there are of
// another version. For all else there is
//
//	go tool arbitergen -check ./...
//
// which writes nothing, prints what would change, and exits with 1 if anything
// would. Errors are printed as file:line:col: message, and the exit code is 2.
//
// # Schemas
//
// With -schema FILE, the names, parameters and results of all tasks of the given
// packages are written to a file that a team keeps under version control. With
// -compat FILE, the tasks are compared with it, and changes that break tasks
// which are queued are refused: a parameter that is removed, renamed, of a
// narrower type or no longer optional, one that is added and not optional, or
// added before others, another result, a task that is gone. Nothing is written
// then and the exit code is 1. Another queue or another default is a warning.
// Both together, with one file, move on to the new
// schemas if they are compatible. Give both the same packages:
//
//	go tool arbitergen -compat tasks.json -schema tasks.json ./...
//
// At run time, generated handles carry the hash of their schema, minions tell
// those that they run, and an arbiter with the option CheckSchema refuses calls
// that no living minion can decode.
package main
