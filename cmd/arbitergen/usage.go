package main

const usage = `Arbitergen generates typed handles for functions that are tasks of Arbiter.

usage: arbitergen [flags] [packages]

Above a function, a comment makes it a task:

    //go:generate go tool arbitergen

    // Add returns x + y.
    //
    //arbiter:task name=simple_add
    func Add(ctx context.Context, x, y int) (int, error) { return x + y, nil }

This generates AddArgs, AddTask with Bind, Apply and Call(ctx, s, x, y), and
RegisterTasks, all in arbiter_gen.go. Keys of the comment, all optional:

    name=NAME           the task's name; default package.Func
    queue=NAME          the queue it is sent to
    delay=DURATION      a call is due that long after it was sent
    within=DURATION     a call expires that long after it was sent
    timeout=DURATION    the limit of one attempt, such as 30s
    slots=NUMBER        how many slots of its minion it takes while it runs
    retries=NUMBER      how often it is run again after an error
    backoff=constant:DURATION
    backoff=exponential:BASE..LIMIT
                        the wait before a retry
    retention=DURATION  how long its result is kept
    dead-retention=DURATION
                        how long a call that has failed for good is kept
    unique=args         a second call with the same arguments is refused while
                        one is queued or running
    unique=PARAMETER,PARAMETER
                        the same, where only these parameters count
    unique-key=KEY      the same, where all calls have the same key
    unique-in=SCOPE:KEY the same, for all tasks that name the scope
    unique-for=DURATION the key is held that long after the call was sent
    unique-until=start  the key is free when the call starts
    on-conflict=refuse|join|replace|latest|cancel
                        what becomes of a second call
    conflict-max-age=DURATION
                        a call that has waited for longer is not replaced
    priority=NUMBER     0 to 9, a higher one is handed out first; default 5
    fair=ARGUMENT       calls take turns by the value of that argument
    sequence=ARGUMENT   calls with the same value run one after the other
    on-failure=stop     the sequence halts if a call of it fails for good
    limit=NAME          it counts for that limit; may be repeated
    key=ARGUMENT        each value is counted on its own, in the limit before
    cost=ARGUMENT       how much of the limit before it uses, an integer
    meta=KEY:VALUE      metadata that travels with its calls; may be repeated
    isolated            each attempt runs in a process of its own
    inherit             its calls end with the running task that sent them
    upstream=PARAMETER  gets the previous step's result; default upstream
    optional=PARAMETER  a call may omit it; its value is then the zero value
    default=PARAMETER:VALUE
                        a call may omit it; its value is then VALUE

An ARGUMENT is a parameter, or a field of one such as order.Tenant.

    //arbiter:schedule "cron=0 30 3 * * *" zone=Europe/Berlin overlap=skip

beside it declares a schedule of the task. All of them are generated into a
function Schedules, for schedule.Declared. Its keys:

    name=NAME           the schedule's name; default the name of the task
    cron=EXPRESSION     the times, as a cron expression of five or six fields
    zone=ZONE           its time zone; default UTC
    every=DURATION      in place of cron: an interval
    from=TIME           the first moment of an interval
    start=TIME          no tick before it
    end=TIME            no tick after it
    runs=NUMBER         the schedule ends after so many runs
    except=DAY          a day without ticks; may be repeated
    jitter=DURATION     each tick is late by a part of this time
    overlap=allow|skip|queue-one|queue-all|cancel
                        what happens with a tick while an earlier run goes on
    missed=once|skip|all
                        what happens with ticks that were missed
    window=DURATION     how old a missed tick may be
    pause-on-failure    it is paused when one of its tasks has failed for good
    arg=PARAMETER:VALUE the value of a parameter; may be repeated

Packages are named as for go build; the default is the current folder.

    -client DIR   write the handles to the package in DIR, which does not import
                  the functions' package; only in the //go:generate line
    -check        write nothing; print the changes, and exit with 1 if any
    -schema FILE  also write the schemas of all tasks, as JSON
    -compat FILE  write nothing, and exit with 1, if a change since that FILE
                  was written breaks queued tasks
    -version      print the version

The exit code is 2 after an error; errors have file:line:col.
`
