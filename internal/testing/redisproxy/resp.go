package redisproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// maxBulk is larger than every command and reply of a test.
const maxBulk = 64 << 20

// readCommand reads a command, and returns its arguments and its raw bytes.
func readCommand(r *bufio.Reader) (Command, []byte, error) {
	var raw bytes.Buffer
	kind, n, err := header(r, &raw)
	if err != nil {
		return nil, nil, err
	}
	if kind != '*' || n < 1 {
		return nil, nil, fmt.Errorf("not a command: %.40q", raw.Bytes())
	}
	args := make(Command, n)
	for i := range args {
		kind, size, err := header(r, &raw)
		if err != nil {
			return nil, nil, err
		}
		if kind != '$' || size < 0 {
			return nil, nil, fmt.Errorf("not a command: %.40q", raw.Bytes())
		}
		start := raw.Len()
		if err := bulk(r, &raw, size); err != nil {
			return nil, nil, err
		}
		args[i] = string(raw.Bytes()[start : raw.Len()-2])
	}
	return args, raw.Bytes(), nil
}

// readReply reads a reply of RESP 2 or 3. push reports that it is a push, and not the reply to a
// command.
func readReply(r *bufio.Reader) (raw []byte, push bool, err error) {
	var buf bytes.Buffer
	first, err := value(r, &buf)
	return buf.Bytes(), first == '>', err
}

// value copies a value and returns its kind.
func value(r *bufio.Reader, raw *bytes.Buffer) (byte, error) {
	kind, n, err := header(r, raw)
	if err != nil {
		return 0, err
	}
	switch kind {
	case '$', '!', '=':
		if n >= 0 {
			err = bulk(r, raw, n)
		}
	case '*', '~', '>':
		err = values(r, raw, n)
	case '%':
		err = values(r, raw, 2*n)
	case '|': // attributes stand before the value that they describe
		if err = values(r, raw, 2*n); err == nil {
			return value(r, raw)
		}
	}
	return kind, err
}

func values(r *bufio.Reader, raw *bytes.Buffer, n int) error {
	for range n {
		if _, err := value(r, raw); err != nil {
			return err
		}
	}
	return nil
}

// header copies a line. It returns its first byte and, for kinds that have one, its length.
func header(r *bufio.Reader, raw *bytes.Buffer) (kind byte, n int, err error) {
	line, err := r.ReadBytes('\n')
	raw.Write(line)
	if err != nil {
		return 0, 0, err
	}
	kind = line[0]
	switch kind {
	case '$', '!', '=', '*', '~', '>', '%', '|':
		n, err = strconv.Atoi(string(bytes.TrimSpace(line[1:])))
		if err == nil && n > maxBulk {
			err = fmt.Errorf("the length %d is out of range", n)
		}
	}
	return kind, n, err
}

// bulk copies n bytes and the line end after them.
func bulk(r *bufio.Reader, raw *bytes.Buffer, n int) error {
	_, err := io.CopyN(raw, r, int64(n)+2)
	return err
}
