package brokertest

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Reports: what running attempts tell, and who may read it for how long.
func reportTests() []test {
	tests := []test{
		{"None", reportNone, 0},
		{"OfAnUnknownTask", reportUnknown, 0},
		{"OfEachKind", reportKinds, 0},
		{"After", reportAfter, 0},
		{"AddedAgain", reportAgain, 0},
		{"Bounds", reportBounds, 0},
		{"BoundOfBytes", reportBytes, 0},
		{"OnlyByTheOwner", reportOwner, 0},
		{"OfALaterAttempt", reportLater, 0},
		{"StayAfterTheEnd", reportStay, 0},
		{"GoWithTheTask", reportGo, needJump},
		{"Wait", reportWait, 0},
		{"WaitForTheEnd", reportWaitEnd, 0},
		{"Limits", reportLimits, 0},
	}
	for i := range tests {
		tests[i].needs |= needReports
	}
	return tests
}

type watchedReports struct {
	b   broker.Reports
	dog *watchdog
}

func (x *watchedReports) AddReports(ctx context.Context, d *broker.Delivery, batch []broker.Report) error {
	return x.dog.do("AddReports", func() error { return x.b.AddReports(ctx, d, batch) })
}

func (x *watchedReports) ReadReports(ctx context.Context, id broker.ID, after broker.ReportPosition, wait time.Duration) (broker.ReportList, error) {
	defer x.dog.begin(&call{what: "ReadReports", may: max(wait, 0)})()
	return x.b.ReadReports(ctx, id, after, wait)
}

func (r *rig) reports() broker.Reports {
	return &watchedReports{raw(r.Broker).(broker.Reports), r.dog}
}

// report returns a report of an attempt.
func report(d *broker.Delivery, number uint64, kind broker.ReportKind, data string) broker.Report {
	return broker.Report{Position: broker.ReportPosition{Attempt: d.Attempt, Number: number}, Kind: kind, Codec: "c", Data: []byte(data)}
}

// adds adds reports, which must succeed.
func (r *rig) adds(d *broker.Delivery, batch ...broker.Report) {
	r.Helper()
	if err := r.reports().AddReports(r.ctx, d, batch); err != nil {
		r.Fatalf("AddReports: %v", err)
	}
}

// reads reads the reports after a position, and checks them.
func (r *rig) reads(id broker.ID, after broker.ReportPosition, final bool, want ...broker.Report) {
	r.Helper()
	list, err := r.reports().ReadReports(r.ctx, id, after, 0)
	if err != nil {
		r.Fatalf("ReadReports: %v", err)
	}
	r.lists(list, after, final, want...)
}

func (r *rig) lists(list broker.ReportList, after broker.ReportPosition, final bool, want ...broker.Report) {
	r.Helper()
	if len(want) > 0 {
		after = want[len(want)-1].Position
	}
	if list.More || list.Final != final || list.Next != after || len(list.Reports) != len(want) {
		r.Fatalf("ReadReports: %d reports, Final %v, Next %v, More %v; want %d, %v, %v, false",
			len(list.Reports), list.Final, list.Next, list.More, len(want), final, after)
	}
	for i := range want {
		if !reflect.DeepEqual(list.Reports[i], want[i]) {
			r.Fatalf("report %d is %+v, want %+v", i, list.Reports[i], want[i])
		}
	}
}

// reporting returns a minion and a task that it runs.
func (r *rig) reporting(with ...func(*broker.Task)) (*minion, *broker.Delivery) {
	r.Helper()
	m := r.minion()
	r.enqueue(r.task(with...))
	return m, m.take1()
}

func reportNone(r *rig) {
	task := r.task()
	r.enqueue(task)
	r.reads(task.ID, broker.ReportPosition{}, false)
	m := r.minion()
	d := m.take1()
	r.adds(d)
	m.settle(m.succeed(d))
	r.reads(task.ID, broker.ReportPosition{}, true)
}

func reportUnknown(r *rig) {
	_, err := r.reports().ReadReports(r.ctx, r.id("q"), broker.ReportPosition{}, time.Minute)
	r.is(err, broker.ErrNotFound)
}

func reportKinds(r *rig) {
	_, d := r.reporting()
	first, item, log := report(d, 1, broker.ReportProgress, "one"), report(d, 2, broker.ReportItem, "two\x00\xff"), report(d, 3, broker.ReportLog, "line")
	r.adds(d, first, item)
	r.adds(d, log)
	r.reads(d.ID, broker.ReportPosition{}, false, first, item, log)
	last := report(d, 4, broker.ReportProgress, "four")
	r.adds(d, last) // takes the place of the first one
	r.reads(d.ID, broker.ReportPosition{}, false, item, log, last)
}

func reportAfter(r *rig) {
	_, d := r.reporting()
	var all []broker.Report
	for i := range 10 {
		all = append(all, report(d, uint64(2*i+1), broker.ReportItem, fmt.Sprint(i)))
	}
	r.adds(d, all...)
	for i := range all {
		r.reads(d.ID, all[i].Position, false, all[i+1:]...)
	}
	r.reads(d.ID, broker.ReportPosition{Attempt: d.Attempt, Number: 2}, false, all[1:]...)
}

func reportAgain(r *rig) {
	_, d := r.reporting()
	a, b, c := report(d, 1, broker.ReportItem, "a"), report(d, 2, broker.ReportItem, "b"), report(d, 3, broker.ReportItem, "c")
	r.adds(d, a, b)
	r.adds(d, a, b)
	r.adds(d, b, c)
	r.reads(d.ID, broker.ReportPosition{}, false, a, b, c)
}

func reportBounds(r *rig) {
	_, d := r.reporting()
	for _, kind := range []broker.ReportKind{broker.ReportItem, broker.ReportLog} {
		most, _ := broker.ReportBounds(kind)
		var all []broker.Report
		for i := range most + 5 {
			all = append(all, report(d, uint64(kind)*10_000+uint64(i), kind, "x"))
		}
		before := broker.ReportPosition{Attempt: d.Attempt, Number: uint64(kind) * 10_000}
		r.adds(d, all[:3]...)
		r.adds(d, all[3:]...)
		r.reads(d.ID, before, false, all[5:]...)
	}
}

func reportBytes(r *rig) {
	_, d := r.reporting()
	_, size := broker.ReportBounds(broker.ReportLog)
	large := string(make([]byte, size/4))
	var all []broker.Report
	for i := range 6 {
		all = append(all, report(d, uint64(i+1), broker.ReportLog, large))
		r.adds(d, all[i])
	}
	r.reads(d.ID, broker.ReportPosition{}, false, all[2:]...)
}

func reportOwner(r *rig) {
	m, d := r.reporting()
	other := r.minion()
	kept := report(d, 1, broker.ReportItem, "kept")
	r.adds(d, kept)
	foreign := *d
	foreign.Minion = other.ID()
	r.is(r.reports().AddReports(r.ctx, &foreign, []broker.Report{report(d, 2, broker.ReportItem, "x")}), broker.ErrLeaseLost)
	m.settle(m.succeed(d))
	r.is(r.reports().AddReports(r.ctx, d, []broker.Report{report(d, 2, broker.ReportItem, "x")}), broker.ErrLeaseLost)
	r.reads(d.ID, broker.ReportPosition{}, true, kept)
}

func reportLater(r *rig) {
	m, d := r.reporting()
	first := report(d, 7, broker.ReportItem, "first")
	r.adds(d, first, report(d, 8, broker.ReportProgress, "far"))
	m.settle(retry(d, 0))
	next := m.take1()
	r.is(r.reports().AddReports(r.ctx, d, []broker.Report{report(d, 9, broker.ReportProgress, "stale")}), broker.ErrLeaseLost)
	item, progress := report(next, 1, broker.ReportItem, "second"), report(next, 2, broker.ReportProgress, "near")
	r.adds(next, item, progress)
	r.reads(d.ID, broker.ReportPosition{}, false, first, item, progress)
}

func reportStay(r *rig) {
	for _, state := range finals {
		m, d := r.reporting(kept(time.Hour, time.Hour))
		item := report(d, 1, broker.ReportItem, "item")
		r.adds(d, item)
		m.settle(m.finish(d, state))
		r.reads(d.ID, broker.ReportPosition{}, true, item)
		m.close()
	}
}

func reportGo(r *rig) {
	m, d := r.reporting(kept(time.Hour, time.Hour))
	r.adds(d, report(d, 1, broker.ReportItem, "item"))
	m.settle(m.succeed(d))
	r.pass(2*time.Hour, m)
	_, err := r.reports().ReadReports(r.ctx, d.ID, broker.ReportPosition{}, 0)
	r.is(err, broker.ErrNotFound)
	again := r.task(func(t *broker.Task) { t.ID = d.ID })
	r.enqueue(again)
	r.reads(d.ID, broker.ReportPosition{}, false)
	next := m.take1()
	item := report(next, 1, broker.ReportItem, "new")
	r.adds(next, item)
	r.reads(d.ID, broker.ReportPosition{}, false, item)
}

// waitsFor reads until there is something, as long as a test may take.
func (r *rig) waitsFor(id broker.ID, after broker.ReportPosition) <-chan broker.ReportList {
	done := make(chan broker.ReportList, 1)
	go func() {
		for {
			list, err := r.reports().ReadReports(r.ctx, id, after, 10*time.Second)
			if err != nil {
				r.Errorf("ReadReports: %v", err)
			}
			if err != nil || len(list.Reports) > 0 || list.Final {
				done <- list
				return
			}
		}
	}()
	return done
}

func reportWait(r *rig) {
	_, d := r.reporting()
	done := r.waitsFor(d.ID, broker.ReportPosition{})
	r.idle()
	item := report(d, 1, broker.ReportItem, "item")
	r.adds(d, item)
	r.lists(<-done, broker.ReportPosition{}, false, item)
}

func reportWaitEnd(r *rig) {
	m, d := r.reporting()
	done := r.waitsFor(d.ID, broker.ReportPosition{})
	r.idle()
	m.settle(m.succeed(d))
	r.lists(<-done, broker.ReportPosition{}, true)
}

func reportLimits(r *rig) {
	_, d := r.reporting()
	for name, batch := range map[string][]broker.Report{
		"kind":          {report(d, 1, 9, "x")},
		"number 0":      {report(d, 0, broker.ReportItem, "x")},
		"same number":   {report(d, 1, broker.ReportItem, "x"), report(d, 1, broker.ReportItem, "x")},
		"large number":  {report(d, broker.MaxReportNumber+1, broker.ReportItem, "x")},
		"other attempt": {{Position: broker.ReportPosition{Attempt: d.Attempt + 1, Number: 1}, Kind: broker.ReportItem}},
		"bytes":         {report(d, 1, broker.ReportItem, string(make([]byte, broker.MaxReport+1)))},
		"batch":         make([]broker.Report, broker.MaxBatch+1),
	} {
		if err := r.reports().AddReports(r.ctx, d, batch); err == nil {
			r.Fatalf("%s: AddReports succeeded", name)
		} else {
			r.is(err, broker.ErrInvalid)
		}
	}
	largest := report(d, broker.MaxReportNumber, broker.ReportItem, string(make([]byte, broker.MaxReport)))
	r.adds(d, largest)
	r.reads(d.ID, broker.ReportPosition{}, false, largest)
}
