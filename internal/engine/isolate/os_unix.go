//go:build unix

package isolate

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// attach passes the child's ends of the pipes to a command, and returns the text that tells the child about them.
func attach(cmd *exec.Cmd, in, out *os.File) string {
	cmd.ExtraFiles = []*os.File{in, out}
	return "3,4" // ExtraFiles begin at descriptor 3
}

// opened returns the files that attach has passed. Processes that the child starts do not inherit them.
func opened(in, out uintptr) (*os.File, *os.File, error) {
	for _, fd := range []uintptr{in, out} {
		var st syscall.Stat_t
		if err := syscall.Fstat(int(fd), &st); err != nil {
			return nil, nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
		syscall.CloseOnExec(int(fd))
	}
	return os.NewFile(in, "jobs"), os.NewFile(out, "results"), nil
}

// killAll kills a process and its group. The process must not have been reaped.
func killAll(p *os.Process) {
	if syscall.Kill(-p.Pid, syscall.SIGKILL) != nil {
		_ = p.Kill()
	}
}

// killed returns the name of the signal that ended a process, or "" if none did.
func killed(st *os.ProcessState) string {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal().String()
	}
	return ""
}
