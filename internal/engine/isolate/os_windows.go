package isolate

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// isolated returns the attributes of a child. It has a process group of its own, so that Ctrl-C in a terminal does not reach
// it.
func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// attach passes the child's ends of the pipes to a command, and returns the text that tells the child about them.
func attach(cmd *exec.Cmd, in, out *os.File) string {
	for _, f := range []*os.File{in, out} {
		h := syscall.Handle(f.Fd())
		_ = syscall.SetHandleInformation(h, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT)
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, h)
	}
	return fmt.Sprintf("%d,%d", in.Fd(), out.Fd())
}

// opened returns the files that attach has passed. Processes that the child starts do not inherit them.
func opened(in, out uintptr) (*os.File, *os.File, error) {
	for _, h := range []uintptr{in, out} {
		if err := syscall.SetHandleInformation(syscall.Handle(h), syscall.HANDLE_FLAG_INHERIT, 0); err != nil {
			return nil, nil, fmt.Errorf("handle %d: %w", h, err)
		}
	}
	return os.NewFile(in, "jobs"), os.NewFile(out, "results"), nil
}

// killAll kills a process. Processes that it has started go on.
func killAll(p *os.Process) { _ = p.Kill() }

// killed returns "": no signal ends a process on Windows.
func killed(*os.ProcessState) string { return "" }
