//go:build !linux

package isolate

import "os"

func executable() (string, error) { return os.Executable() }

// watched reports whether a parent can see the memory of a child.
const watched = false

// awaitExit returns false: the end of a child can't be awaited without reaping it. If another process holds the pipe open, the
// wait for its end is only ended by a kill.
func awaitExit(int) bool { return false }

func resident(int) uint64 { return 0 }
