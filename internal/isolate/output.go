package isolate

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

const (
	maxLine  = 8 << 10 // bytes of a line of output; a longer one comes in parts
	keepText = 8 << 10 // bytes of output that are kept for the report of a crash
	keepLast = 20      // lines that are, if the runtime has said nothing
)

// lines cuts what a process prints into lines.
type lines struct {
	each func(line string)
	mu   sync.Mutex // held by Write, and while each is called
	part []byte
}

// Write implements [io.Writer].
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		end := i
		if i < 0 {
			end = len(b)
		}
		end = min(end, maxLine-len(l.part))
		l.part = append(l.part, b[:end]...)
		switch {
		case end == i: // the line is whole
			l.flush()
			b = b[end+1:]
			continue
		case len(l.part) == maxLine:
			l.flush()
		}
		b = b[end:]
	}
	return n, nil
}

// flush hands on what is there of a line, even if that is nothing.
func (l *lines) flush() {
	l.each(strings.TrimSuffix(string(l.part), "\r"))
	l.part = l.part[:0]
}

// end hands on a last line that has no end, unless somebody is still busy with an
// earlier one.
func (l *lines) end() {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.flush()
	}
}

// limiter bounds how many lines a second are handed on. A child in a loop of
// prints would fill the minion's log otherwise, and take its time.
type limiter struct {
	rate int // 0 is any number

	mu      sync.Mutex
	since   time.Time // when the current second began
	lines   int       // handed on in it
	dropped int       // and not reported yet
}

// admit reports whether a line may be handed on now, and how many were dropped
// before it and are to be reported.
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

// flush returns how many lines were dropped and are to be reported.
func (l *limiter) flush() (dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped, l.dropped = l.dropped, 0
	return dropped
}

// report keeps what a process has printed that tells why it ended: from where
// the runtime began to speak of a fatal error, or else the last lines.
type report struct {
	mu    sync.Mutex
	fatal bool
	size  int
	text  []string
}

// reset forgets what was printed for an earlier job.
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
	if r.fatal && r.size >= keepText { // the first lines say most
		return
	}
	r.text = append(r.text, line)
	r.size += len(line) + 1
	for !r.fatal && (len(r.text) > keepLast || r.size > keepText) {
		r.size -= len(r.text[0]) + 1
		r.text = r.text[1:]
	}
}

// begins reports whether the runtime's last words begin with a line.
func begins(line string) bool {
	for _, prefix := range []string{"panic: ", "fatal error: ", "runtime: ", "SIG"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// String returns what is kept.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.Join(r.text, "\n")
	if len(text) > keepText {
		text = text[:keepText]
	}
	return strings.ToValidUTF8(text, "�")
}
