package main

const usage = `Arbitergen generates typed handles for functions that are tasks of Arbiter.

usage: arbitergen [flags] [packages]

Above a function, a comment makes it a task:

    //go:generate go tool arbitergen

    // Add returns x + y.
    //
    //arbiter:task name=simple_add
    func Add(ctx context.Context, x, y int) (int, error) { return x + y, nil }

This gives AddArgs, AddTask with Bind, Apply and Call(ctx, s, x, y), and
RegisterTasks, all in arbiter_gen.go. Keys of the comment, all optional:

    name=NAME           the task's name; default package.Func
    queue=NAME          the queue it is sent to
    delay=DURATION      calls become due that long after they are sent
    within=DURATION     calls expire that long after they are sent
    timeout=DURATION    of one attempt, such as 30s
    retries=NUMBER      how often it is run again after an error
    backoff=constant:DURATION
    backoff=exponential:BASE..LIMIT
                        the wait before a retry
    retention=DURATION  how long its result is kept
    dead-retention=DURATION
                        how long a call that failed for good is kept
    unique=KEY          no second call while one is queued or runs
    unique-in=SCOPE:KEY the same, with the keys of all tasks that name the scope
    meta=KEY:VALUE      metadata that travels with its calls; may be repeated
    isolated            it runs in a process of its own
    inherit             its calls end with the running task that sent them
    upstream=PARAMETER  takes the previous step's result; default upstream
    optional=PARAMETER  may be missing, and is its zero value then
    default=PARAMETER:VALUE
                        may be missing, and is VALUE then

Packages are named as for go build; the default is the current folder.

    -client DIR   write the handles to the package in DIR, which imports nothing
                  of the functions' package; for the //go:generate line alone
    -check        write nothing; print what would change, and exit with 1
    -schema FILE  also write the schemas of all tasks, as JSON
    -compat FILE  write nothing, and exit with 1, if a change since that FILE
                  was written breaks tasks that are queued
    -version      print the version

The exit code is 2 if something is wrong; errors have file:line:col.
`
