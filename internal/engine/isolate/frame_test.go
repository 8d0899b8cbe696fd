package isolate

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	var pipe bytes.Buffer
	want := []frame{
		{kind: kindSetup}, {kind: kindRun, job: 7, body: bytes.Repeat([]byte{1}, 3<<20)}, {kindCall, 1 << 31, 9, []byte("body")}, {kind: kindBig},
	}
	for _, f := range want {
		if err := f.write(&pipe); err != nil {
			t.Fatal(err)
		}
	}
	text := pipe.Bytes()
	for _, f := range want {
		got, err := readFrame(&pipe)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("read a frame of kind %v, error %v; want kind %v", got.kind, err, f.kind)
		}
	}
	if _, err := readFrame(&pipe); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	for _, cut := range []int{5, headSize + 5, headSize + 1<<20 + 100} {
		r := bytes.NewReader(text[:cut])
		var err error
		for err == nil {
			_, err = readFrame(r)
		}
		if cut != headSize && errors.Is(err, io.EOF) {
			t.Errorf("cut off after %d bytes: error %v", cut, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 'h', 'i'})
	f.Add([]byte{2, 0, 0, 0, 1, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 'h', 'i'})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readFrame(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := got.write(&again); err != nil || !bytes.HasPrefix(text, again.Bytes()) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{each: func(line string) { got = append(got, line) }}
	long := strings.Repeat("x", maxLine)
	for _, part := range []string{"a", "b\n\nc\r\n", long + "y\n", "z"} {
		if n, err := io.WriteString(l, part); n != len(part) || err != nil {
			t.Error(n, err)
		}
	}
	l.end()
	l.end()
	if want := []string{"ab", "", "c", long, "y", "z"}; !reflect.DeepEqual(got, want) {
		t.Errorf("lines %.50q, want %.50q", got, want)
	}
}

func TestReport(t *testing.T) {
	var r report
	for range 100 {
		r.add("noise")
	}
	r.add("last")
	if text := r.String(); strings.Count(text, "noise") != keepLast-1 || !strings.HasSuffix(text, "last") {
		t.Error(text)
	}
	r.add("fatal error: all is lost")
	for range 1000 {
		r.add("goroutine, goroutine")
	}
	if text := r.String(); !strings.HasPrefix(text, "fatal error: ") || len(text) > keepText {
		t.Error(text)
	}
	r.reset()
	r.add("new \xff")
	if text := r.String(); text != "new �" {
		t.Error(text)
	}
}
