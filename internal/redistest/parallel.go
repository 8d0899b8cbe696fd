package redistest

import (
	"flag"
	"runtime"
	"strconv"
)

// Parallel lets more tests run at once than there are processors, for packages
// whose tests wait most of the time. TestMain calls it; -parallel overrides it.
func Parallel() {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) { // the default
		if err := f.Value.Set(strconv.Itoa(2 + 2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err) // it is a number
		}
	}
}
