package isolate

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// executable is the program that runs, even if its file was replaced or removed.
func executable() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err != nil {
		return os.Executable()
	}
	return self, nil
}

// isolated gives a child a process group of its own, so that it can be killed
// with all it has started and Ctrl-C in a terminal is not for it, and has the
// kernel kill it when the thread that started it ends.
func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit waits until a child has ended, and leaves it to be waited for.
// It reports whether it can.
func awaitExit(pid int) bool {
	const byPID, exited, leave = 1, 0x4, 0x1000000 // P_PID, WEXITED, WNOWAIT
	var info [128]byte                             // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), exited|leave, 0, 0)
		if errno != syscall.EINTR {
			return true // or somebody else has waited for it, which also is its end
		}
	}
}

// watched says that a parent can see how much memory a child has.
const watched = true

var pageSize = uint64(os.Getpagesize())

// resident returns the bytes of memory that a process has, 0 if that is unknown.
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
