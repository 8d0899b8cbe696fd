// Package schedule runs tasks at given times: by cron expressions with seconds and time zones, or by intervals.
//
//	err := schedule.Run(ctx, b, schedule.Declared("billing", schedule.Definition{
//		Name: "nightly-report",
//		When: schedule.Cron("0 30 3 * * *").In("Europe/Berlin"),
//		Call: ReportTask.Bind("all"),
//	}))
//
// # The model
//
// A [Definition] says what a schedule runs, and when. It is stored in the broker, under its name. At each of its times, which
// are called ticks, a task is submitted like any other, and minions run it. The handler learns the nominal time of the tick
// with [Nominal] or [FromContext]: the time at which it was due, however late it runs.
//
// Any number of processes call [Run], and none of them leads. If one dies, another one takes its schedules over within a second. The id of
// the task of a tick is made of the schedule and the nominal time. So several processes may submit the same tick, and it is stored
// once. All times are by the broker's clock, so the clocks of the processes can differ.
//
// # Changing schedules
//
// A program declares its schedules, see [Declared] and the directive //arbiter:schedule of arbitergen, or stores them with [Scheduler.Put]. Any process
// can look at them and change them: [Scheduler.List], [Scheduler.Pause], [Scheduler.Trigger], [Scheduler.Backfill] and so on.
//
// docs/schedules.md has recipes, and says what holds when clocks change, when processes die and when runs overlap.
package schedule
