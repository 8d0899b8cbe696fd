package isolate

import (
	"encoding/binary"
	"fmt"
	"io"
)

// version is of the frames. Parent and child are the same program, unless its
// file was replaced meanwhile.
const version = 1

type kind uint8

const (
	kindSetup kind = iota + 1
	kindRun
	kindCancel
	kindReply
	kindHello
	kindDone
	kindCall
	kindDrop
	kindBig
)

// frame is what goes over a pipe.
type frame struct {
	kind kind
	job  uint32 // which job it is about; 0 is none
	call uint32 // which of the job's calls; 0 is none
	body []byte
}

const (
	headSize = 13
	// maxBody bounds what a broken head can make a reader allocate.
	maxBody = 1 << 30
)

// write writes a frame. It is for one goroutine at a time.
func (f *frame) write(w io.Writer) error {
	if len(f.body) > maxBody {
		return fmt.Errorf("frame of %d bytes, the limit is %d", len(f.body), maxBody)
	}
	buf := make([]byte, headSize, headSize+len(f.body))
	buf[0] = byte(f.kind)
	binary.BigEndian.PutUint32(buf[1:], f.job)
	binary.BigEndian.PutUint32(buf[5:], f.call)
	binary.BigEndian.PutUint32(buf[9:], uint32(len(f.body)))
	_, err := w.Write(append(buf, f.body...))
	return err
}

// readFrame reads a frame. The error is io.EOF if there is none.
func readFrame(r io.Reader) (frame, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{
		kind: kind(head[0]),
		job:  binary.BigEndian.Uint32(head[1:]),
		call: binary.BigEndian.Uint32(head[5:]),
	}
	n := binary.BigEndian.Uint32(head[9:])
	if f.kind < kindSetup || f.kind > kindBig || n > maxBody {
		return frame{}, fmt.Errorf("broken frame of kind %d with %d bytes", f.kind, n)
	}
	if n == 0 {
		return f, nil
	}
	// What is announced is not believed before it is there.
	const trust = 1 << 20
	f.body = make([]byte, 0, min(n, trust))
	for uint32(len(f.body)) < n {
		from := len(f.body)
		step := min(int(n)-from, max(from, trust))
		f.body = append(f.body, make([]byte, step)...)
		if _, err := io.ReadFull(r, f.body[from:]); err != nil {
			return frame{}, fmt.Errorf("frame of %d bytes is cut short: %w", n, err)
		}
	}
	return f, nil
}
