package cut_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-arbiter/arbiter/internal/base/cut"
)

func TestTo(t *testing.T) {
	for _, tt := range []struct {
		s     string
		limit int
		want  string
	}{
		{"", 0, ""},
		{"abc", 3, "abc"},
		{"äöü", 6, "äöü"},
		{"abcdef", 5, "ab…"},
		{"abcd", 3, "…"},
		{"abc", 2, ""},
		{"äöü", 5, "ä…"},
		{"aäöü", 6, "aä…"},
		{"aäöü!", 6, "aä…"},
		{"a😀😀", 8, "a😀…"},
		{"a😀😀", 7, "a…"},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80", 8, "\x80\x80\x80\x80\x80…"},
	} {
		if got := cut.To(tt.s, tt.limit); got != tt.want {
			t.Errorf("To(%q, %d) = %q, want %q", tt.s, tt.limit, got, tt.want)
		}
	}
}

func FuzzTo(f *testing.F) {
	f.Add("aäöü😀€", 9)
	f.Add(strings.Repeat("😀", 100), 64)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		got := cut.To(s, limit)
		switch {
		case len(s) <= limit:
			if got != s {
				t.Errorf("To(%q, %d) = %q, want it unchanged", s, limit, got)
			}
		case limit < len(cut.Mark):
			if got != "" {
				t.Errorf("To(%q, %d) = %q, want no text", s, limit, got)
			}
		case len(got) > limit || len(got) <= limit-utf8.UTFMax || !strings.HasPrefix(s, strings.TrimSuffix(got, cut.Mark)):
			t.Errorf("To(%q, %d) = %q", s, limit, got)
		case utf8.ValidString(s) && !utf8.ValidString(got):
			t.Errorf("To(%q, %d) = %q, which splits a character", s, limit, got)
		}
		if again := cut.To(got, limit); again != got && limit >= 0 {
			t.Errorf("To(%q, %d) is %q when it is cut again", got, limit, again)
		}
	})
}
