//go:build unix && !linux

package isolate

import "syscall"

// isolated returns the attributes of a child. It has a process group of its own, so that it can be killed with all processes
// that it has started, and Ctrl-C in a terminal does not reach it.
func isolated() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
