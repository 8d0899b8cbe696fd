package broker

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// ReportKind says what a report is.
type ReportKind uint8

// The kinds of reports.
const (
	ReportProgress ReportKind = 1 // how far the handler is; only the last one is kept
	ReportItem     ReportKind = 2 // a value that the handler emits
	ReportLog      ReportKind = 3 // a line of the log of the handler
)

// String returns the name of the kind.
func (k ReportKind) String() string {
	switch k {
	case ReportProgress:
		return "progress"
	case ReportItem:
		return "item"
	case ReportLog:
		return "log"
	}
	return fmt.Sprintf("ReportKind(%d)", uint8(k))
}

// The limits of the reports of one task. If there are more, the oldest of the kind are dropped.
const (
	MaxReport     = 64 << 10  // bytes of one report
	MaxItems      = 256       // how many items are kept
	MaxItemBytes  = 512 << 10 // bytes of all items that are kept
	MaxLogs       = 256       // how many lines of a log are kept
	MaxLogBytes   = 128 << 10 // bytes of all lines that are kept
	MaxReportName = 32        // bytes of the name of a codec
)

// ReportPosition is where a report stands among those of its task: by the attempt, and by its
// number in the attempt. Reports of all kinds share the numbers. The zero position is before all
// reports.
type ReportPosition struct {
	Attempt uint32 // Delivery.Attempt
	Number  uint64 // 1 for the first report of the attempt
}

// Compare orders positions. It fits [slices.SortFunc].
func (p ReportPosition) Compare(other ReportPosition) int {
	return cmp.Or(cmp.Compare(p.Attempt, other.Attempt), cmp.Compare(p.Number, other.Number))
}

// Report is one thing that a running attempt tells.
type Report struct {
	Position ReportPosition
	Kind     ReportKind
	Codec    string // name of the codec of Data, at most MaxReportName bytes
	Data     []byte // at most MaxReport bytes
}

// ReportList is what [Reports] ReadReports returns.
type ReportList struct {
	Reports []Report       // sorted by Position
	Next    ReportPosition // where the next call goes on
	More    bool           // there are further reports already
	Final   bool           // the task is final, so no attempt of it adds a report any more
}

// Reports is an optional capability: a running task tells how far it is, emits values and keeps
// the last lines of its log. [ReportsOf] returns the Reports of a Broker.
//
// Reports are kept with the record of the task, and go with it. A later attempt adds to those of
// the earlier ones. A task that reports nothing costs nothing.
type Reports interface {
	// AddReports adds reports of an attempt, in the order of their numbers. Only the owner of the
	// attempt may do that, also if the task was cancelled; else the error wraps ErrLeaseLost, and
	// nothing is changed. So an earlier attempt adds nothing once a later one has begun.
	//
	// A report whose number is not greater than the last one of the attempt is known already and
	// is left out, so a repeated call changes nothing. The call is ErrInvalid or ErrTooLarge if
	// [CheckReports] refuses the batch.
	AddReports(ctx context.Context, d *Delivery, batch []Report) error

	// ReadReports returns the reports of a task that stand after a position, so the zero position
	// reads all that are kept. It returns up to MaxBatch reports and about MaxBatchBytes. If
	// there is none, it waits for up to wait until there is one or the task is final, and then
	// returns an empty list; with a wait of 0 or less it does not wait. It may return early with
	// an empty list. It is ErrNotFound if the task is not known.
	ReadReports(ctx context.Context, id ID, after ReportPosition, wait time.Duration) (ReportList, error)
}

// ReportsOf returns the broker as a [Reports], or an error as [FlowsOf] does.
func ReportsOf(b Broker, what string) (Reports, error) {
	return capability[Reports](b, what, "Reports")
}

// CheckReports reports whether a batch for AddReports is valid. The error wraps [ErrInvalid] or
// [ErrTooLarge].
func CheckReports(d *Delivery, batch []Report) error {
	if len(batch) > MaxBatch {
		return fmt.Errorf("task %s: %w: %d reports in a batch, the limit is %d", d.ID, ErrTooLarge, len(batch), MaxBatch)
	}
	size, last := 0, uint64(0)
	for i := range batch {
		r := &batch[i]
		size += len(r.Data)
		var err error
		switch {
		case r.Kind < ReportProgress || r.Kind > ReportLog:
			err = fmt.Errorf("%w: unknown kind %d", ErrInvalid, r.Kind)
		case r.Position.Attempt != d.Attempt:
			err = fmt.Errorf("%w: it is of attempt %d, the delivery is of attempt %d", ErrInvalid, r.Position.Attempt, d.Attempt)
		case r.Position.Number <= last || r.Position.Number > MaxReportNumber:
			err = fmt.Errorf("%w: number %d after %d, want growing numbers from 1 to %d", ErrInvalid, r.Position.Number, last, uint64(MaxReportNumber))
		case len(r.Codec) > MaxReportName:
			err = fmt.Errorf("%w: codec name %.40q is longer than %d bytes", ErrInvalid, r.Codec, MaxReportName)
		case len(r.Data) > MaxReport:
			err = fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(r.Data), MaxReport)
		case size > MaxBatchBytes:
			err = fmt.Errorf("%w: the batch has more than %d bytes", ErrTooLarge, MaxBatchBytes)
		}
		if err != nil {
			return fmt.Errorf("task %s: report %d (%s): %w", d.ID, r.Position.Number, r.Kind, err)
		}
		last = r.Position.Number
	}
	return nil
}

// MaxReportNumber is the greatest number of a report. Numbers in Lua are exact up to it.
const MaxReportNumber = 1<<53 - 1

// ReportBounds returns how many reports of a kind are kept, and how many bytes of their data.
func ReportBounds(k ReportKind) (count, bytes int) {
	switch k {
	case ReportItem:
		return MaxItems, MaxItemBytes
	case ReportLog:
		return MaxLogs, MaxLogBytes
	}
	return 1, MaxReport
}
