package isolate

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// executable returns the path of the running program. It works even if the file was replaced or removed.
func executable() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err != nil {
		return os.Executable()
	}
	return self, nil
}

// isolated returns the attributes of a child. It has a process group of its own, so that it can be killed with all processes
// that it has started, and Ctrl-C in a terminal does not reach it. The kernel kills it when the thread that started it ends.
func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit waits until a child has ended, without reaping it. It reports whether the system can do that.
func awaitExit(pid int) bool {
	const byPID, exited, leave = 1, 0x4, 0x1000000 // P_PID, WEXITED, WNOWAIT
	var info [128]byte                             // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), exited|leave, 0, 0)
		if errno != syscall.EINTR {
			return true // also after an error: another caller has waited for the child, so it has ended
		}
	}
}

// watched reports whether a parent can see the memory of a child.
const watched = true

var pageSize = uint64(os.Getpagesize())

// resident returns the bytes of memory that a process uses, or 0 if that is unknown.
func resident(pid int) uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * pageSize
}
