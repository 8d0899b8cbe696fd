// Package testform chooses between two forms of the tests. The short form is the default, and takes
// about a minute. The long form gives more time to tests that are random or that repeat: more
// seeds, longer storms, and all topologies one after the other. CI runs it. One environment
// variable selects it for all packages: ARBITER_TEST_LONG=1.
package testform

import (
	"flag"
	"os"
	"strconv"
)

// Env is the name of the environment variable. Its value is a bool as [strconv.ParseBool] reads it.
// The default is false.
const Env = "ARBITER_TEST_LONG"

// Long reports whether the long form is selected. It panics if the value of the variable is not a
// bool, so that a typing error does not select the short form.
func Long() bool {
	text := os.Getenv(Env)
	if text == "" {
		return false
	}
	long, err := strconv.ParseBool(text)
	if err != nil {
		panic(Env + " is " + strconv.Quote(text) + "; set it to 1 for the long form of the tests, or to 0")
	}
	return long
}

// Pick returns short or long, as the form requires.
func Pick[T any](short, long T) T {
	if Long() {
		return long
	}
	return short
}

// Parallel lets n tests of the package run in parallel, for packages whose tests mostly wait. It
// has no effect if -parallel is on the command line. It must be called in TestMain before Run.
func Parallel(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}
