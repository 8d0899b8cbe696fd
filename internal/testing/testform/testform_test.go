package testform_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

func TestPick(t *testing.T) {
	for text, want := range map[string]string{"": "short", "0": "short", "1": "long", "true": "long"} {
		t.Setenv(testform.Env, text)
		if got := testform.Pick("short", "long"); got != want || testform.Long() != (want == "long") {
			t.Errorf("with %s=%q Pick returned %s", testform.Env, text, got)
		}
	}
}

func TestNoBool(t *testing.T) {
	t.Setenv(testform.Env, "yes")
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, testform.Env) {
			t.Errorf("Long panicked with %q", text)
		}
	}()
	testform.Long()
}

func TestParallel(t *testing.T) {
	f := flag.Lookup("test.parallel")
	before := f.Value.String()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	testform.Parallel(7)
	if got := f.Value.String(); got != "7" && !given || given && got != before {
		t.Errorf("-parallel is %s after Parallel, was %s before", got, before)
	}
	now := f.Value.String()
	testform.Parallel(9) // now the flag counts as given
	if got := f.Value.String(); got != now {
		t.Errorf("-parallel is %s after a second Parallel, was %s before", got, now)
	}
}
