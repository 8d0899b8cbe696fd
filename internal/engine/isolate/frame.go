package isolate

import (
	"encoding/binary"
	"fmt"
	"io"
)

// version is the version of the frames. Parent and child are the same program, unless its file was replaced meanwhile.
const version = 2

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

// frame is a message between parent and child.
type frame struct {
	kind kind
	job  uint32 // the number of the job; 0 is none
	call uint32 // the number of the job's call; 0 is none
	body []byte
}

const (
	headSize = 13
	// maxBody bounds the memory that a reader allocates for a damaged head.
	maxBody = 1 << 30
)

// write writes a frame. It must not be called concurrently.
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

// readFrame reads a frame. The error is io.EOF if the pipe was closed between two frames.
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
	// The memory grows as data arrives, since the length may be wrong.
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
