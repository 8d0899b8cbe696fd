// Package testform is about the two forms of the test suite. The short one is the
// default, and ends in about a minute. The long one gives what is random or takes
// turns more time: more seeds, longer storms, all topologies one after the other.
// CI runs it. ARBITER_TEST_LONG=1 in the environment asks for it, so one setting
// works for all packages.
package testform

import (
	"flag"
	"os"
	"strconv"
)

// Env is the name of the variable in the environment: a bool, as
// [strconv.ParseBool] reads it. Default false.
const Env = "ARBITER_TEST_LONG"

// Long reports whether the long form is asked for. It panics if the variable is
// no bool, so that a typing error does not silently run the short form.
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

// Pick returns the one of two sizes that the form asks for.
func Pick[T any](short, long T) T {
	if Long() {
		return long
	}
	return short
}

// Parallel lets n tests of the package run in parallel, for packages whose tests
// wait most of the time. It does nothing if -parallel was on the command line.
// Call it from TestMain, before Run.
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
