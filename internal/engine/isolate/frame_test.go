package isolate

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
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
	long := strings.Repeat("x", maxLine)
	almost := long[:maxLine-2]
	for name, tt := range map[string]struct{ parts, want []string }{
		"short":                    {[]string{"a", "b\n\nc\r\n", "z"}, []string{"ab", "", "c", "z"}},
		"too long":                 {[]string{long + "y\n"}, []string{long, "y"}},
		"as long as can be":        {[]string{long, "\n", long + "\r", "\n" + long, "\ny"}, []string{long, long, "", long, "y"}},
		"the last one":             {[]string{long}, []string{long}},
		"a carriage return within": {[]string{long[1:] + "\r", "y\n"}, []string{long[1:] + "\r", "y"}},
		"a character of two bytes": {[]string{almost + "äöü\n"}, []string{almost + "ä", "öü"}},
		"its second byte too long": {[]string{almost + "xä", "\n"}, []string{almost + "x", "ä"}},
		"three of its four bytes":  {[]string{long[3:] + "😀\xf0", "\n"}, []string{long[3:], "😀\xf0"}},
		"written byte by byte":     {single(long[1:] + "€!\n"), []string{long[1:], "€!"}},
		"no UTF-8":                 {[]string{long[4:] + "\x80\x80\x80\x80\x80"}, []string{long[4:] + "\x80\x80\x80\x80", "\x80"}},
		"a byte that begins none":  {[]string{long[1:] + "\xff\xff\n"}, []string{long[1:] + "\xff", "\xff"}},
		"many times too long":      {[]string{strings.Repeat("€", maxLine)}, manyEuros()},
	} {
		var got []string
		l := &lines{each: func(line string) { got = append(got, line) }}
		for _, part := range tt.parts {
			if n, err := io.WriteString(l, part); n != len(part) || err != nil {
				t.Errorf("%s: Write returned %d, %v", name, n, err)
			}
		}
		l.end()
		l.end()
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: lines %.50q of %v bytes, want %.50q of %v", name, got, lengths(got), tt.want, lengths(tt.want))
		}
	}
}

// single returns the bytes of a text, one in each string.
func single(text string) (parts []string) {
	for i := range len(text) {
		parts = append(parts, text[i:i+1])
	}
	return parts
}

func lengths(lines []string) (n []int) {
	for _, line := range lines {
		n = append(n, len(line))
	}
	return n
}

// manyEuros returns the lines into which maxLine euro signs are split, each of which has three bytes.
func manyEuros() (lines []string) {
	const fit = maxLine / 3
	for left := maxLine; left > 0; left -= fit {
		lines = append(lines, strings.Repeat("€", min(left, fit)))
	}
	return lines
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
