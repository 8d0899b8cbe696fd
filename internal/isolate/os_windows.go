package isolate

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// isolated gives a child a process group of its own: Ctrl-C in a terminal is not
// for it.
func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// attach gives a command the child's ends of the pipes, and returns what the
// child is to be told about them.
func attach(cmd *exec.Cmd, in, out *os.File) string {
	for _, f := range []*os.File{in, out} {
		h := syscall.Handle(f.Fd())
		_ = syscall.SetHandleInformation(h, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT)
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, h)
	}
	return fmt.Sprintf("%d,%d", in.Fd(), out.Fd())
}

// opened returns the files that attach told of. What the child starts does not
// get them.
func opened(in, out uintptr) (*os.File, *os.File, error) {
	for _, h := range []uintptr{in, out} {
		if err := syscall.SetHandleInformation(syscall.Handle(h), syscall.HANDLE_FLAG_INHERIT, 0); err != nil {
			return nil, nil, fmt.Errorf("handle %d: %w", h, err)
		}
	}
	return os.NewFile(in, "jobs"), os.NewFile(out, "results"), nil
}

// killAll kills a process. What it has started goes on.
func killAll(p *os.Process) { _ = p.Kill() }

// killed returns the name of the signal that ended a process, "" if none did.
func killed(*os.ProcessState) string { return "" }
