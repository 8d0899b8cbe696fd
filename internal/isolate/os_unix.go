//go:build unix

package isolate

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// attach gives a command the child's ends of the pipes, and returns what the
// child is to be told about them.
func attach(cmd *exec.Cmd, in, out *os.File) string {
	cmd.ExtraFiles = []*os.File{in, out}
	return "3,4" // those of ExtraFiles begin there
}

// opened returns the files that attach told of. What the child starts does not
// get them.
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

// killAll kills a process, which was not waited for yet, and its group.
func killAll(p *os.Process) {
	if syscall.Kill(-p.Pid, syscall.SIGKILL) != nil {
		_ = p.Kill()
	}
}

// killed returns the name of the signal that ended a process, "" if none did.
func killed(st *os.ProcessState) string {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal().String()
	}
	return ""
}
