//go:build unix && !linux

package isolate

import "syscall"

// isolated gives a child a process group of its own, so that it can be killed
// with all it has started and Ctrl-C in a terminal is not for it.
func isolated() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
