//go:build !linux

package isolate

import "os"

func executable() (string, error) { return os.Executable() }

// watched says that a parent can see how much memory a child has.
const watched = false

// awaitExit reports that the end of a child can't be waited for without taking
// its id. Then only a kill ends the wait for a pipe that others hold open.
func awaitExit(int) bool { return false }

func resident(int) uint64 { return 0 }
