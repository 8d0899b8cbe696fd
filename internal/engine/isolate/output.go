package isolate

import (
	"bytes"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-arbiter/arbiter/internal/base/cut"
)

const (
	maxLine  = 8 << 10 // bytes of a line of output; longer lines are split, between two characters
	keepText = 8 << 10 // bytes of output that are kept for the report of a crash
	keepLast = 20      // lines that are kept if the runtime has not reported an error
)

// lines is a writer that splits the output of a process into lines.
type lines struct {
	each func(line string)
	mu   sync.Mutex // held by Write, also while it calls each
	part []byte
}

// Write implements [io.Writer].
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		if len(l.part) == maxLine && b[0] != '\n' {
			piece := whole(l.part)
			l.each(string(l.part[:piece]))
			l.part = append(l.part[:0], l.part[piece:]...)
		}
		i := bytes.IndexByte(b, '\n')
		end := i
		if i < 0 {
			end = len(b)
		}
		end = min(end, maxLine-len(l.part))
		l.part = append(l.part, b[:end]...)
		if end == i { // the line is complete
			l.flush()
			end++
		}
		b = b[end:]
	}
	return n, nil
}

// whole returns how many bytes b has without a character at its end that is not complete. Bytes that are not UTF-8 have no
// characters to keep whole.
func whole(b []byte) int {
	for at := len(b) - 1; at >= 0 && at > len(b)-utf8.UTFMax; at-- {
		if utf8.RuneStart(b[at]) {
			if utf8.FullRune(b[at:]) {
				break
			}
			return at
		}
	}
	return len(b)
}

// flush passes the current line on, even if it is empty.
func (l *lines) flush() {
	l.each(strings.TrimSuffix(string(l.part), "\r"))
	l.part = l.part[:0]
}

// end passes on a last line without a newline. If another goroutine still writes, it does nothing.
func (l *lines) end() {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.flush()
	}
}

// limiter bounds how many lines are passed on in a second. Otherwise a child that prints in a loop could fill the minion's log
// and keep the minion busy.
type limiter struct {
	rate int // lines a second; 0 is no limit

	mu      sync.Mutex
	since   time.Time // the begin of the current second
	lines   int       // passed on in the current second
	dropped int       // not reported yet
}

// admit reports whether a line may be passed on now. It also returns how many lines were dropped before it, if that is to be
// reported now.
func (l *limiter) admit(now time.Time) (ok bool, dropped int) {
	if l.rate == 0 {
		return true, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Second {
		l.since, l.lines = now, 0
		dropped, l.dropped = l.dropped, 0
	}
	if l.lines == l.rate {
		l.dropped++
		return false, dropped
	}
	l.lines++
	return true, dropped
}

// flush returns how many dropped lines have not been reported yet.
func (l *limiter) flush() (dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped, l.dropped = l.dropped, 0
	return dropped
}

// report keeps the output that tells why a process ended: the runtime's report of a fatal error, or else the last lines.
type report struct {
	mu    sync.Mutex
	fatal bool
	size  int
	text  []string
}

// reset drops the output of an earlier job.
func (r *report) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text, r.size, r.fatal = nil, 0, false
}

func (r *report) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fatal && begins(line) {
		r.text, r.size, r.fatal = nil, 0, true
	}
	if r.fatal && r.size >= keepText { // the first lines of the runtime's report are the useful ones
		return
	}
	r.text = append(r.text, line)
	r.size += len(line) + 1
	for !r.fatal && (len(r.text) > keepLast || r.size > keepText) {
		r.size -= len(r.text[0]) + 1
		r.text = r.text[1:]
	}
}

// begins reports whether the line is the first of the runtime's report.
func begins(line string) bool {
	for _, prefix := range []string{"panic: ", "fatal error: ", "runtime: ", "SIG"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// String returns the output that was kept.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cut.To(strings.ToValidUTF8(strings.Join(r.text, "\n"), "�"), keepText)
}
