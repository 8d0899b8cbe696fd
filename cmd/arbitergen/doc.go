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
// RegisterTasks, which tells a minion about all tasks of the package.
//
// # Functions
//
// The first parameter may be a context.Context. Then any number of parameters
// follows, the last one perhaps variadic, of types that package codec can
// encode. The results are none, (error), (R) or (R, error). A method is called
// on the receiver that is given to RegisterWorkerTasks, for a type Worker, and
// its handle is WorkerSendTask. Where a parameter is named upstream, or the
// comment names one with upstream=, the handle has a method Step, which binds
// all the others and leaves this one to the result of the step before.
//
// # Keys
//
//	name=NAME           the task's name; default pkg.Func or pkg.Type.Method
//	queue=NAME          the queue it is sent to
//	timeout=DURATION    of one attempt, such as 30s
//	retries=NUMBER      how often it is run again after an error, 0 to 10000
//	retention=DURATION  how long its result is kept, such as 72h
//	unique=KEY          no second call while one is queued or runs
//	priority=NUMBER     -128 to 127
//	upstream=PARAMETER  the parameter that takes the previous step's result
//
// Tasks in test files are generated into arbiter_gen_test.go, and registered by
// RegisterTestTasks, or by RegisterTasks in a package x_test.
//
// # Stale code
//
// Generated code does not compile once the signature of a function has changed,
// and the error says to run go generate. For all else there is
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
// which are queued are refused: a parameter that is removed, renamed, added or
// of a narrower type, another result, a task that is gone. Nothing is written
// then and the exit code is 1. Both together, with one file, move on to the new
// schemas if they are compatible. Give both the same packages:
//
//	go tool arbitergen -compat tasks.json -schema tasks.json ./...
//
// At run time, generated handles carry the hash of their schema, minions tell
// those that they run, and an arbiter with the option CheckSchema refuses calls
// that no living minion can decode.
package main
