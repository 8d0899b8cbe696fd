package outbox_test

import (
	"os/exec"
	"syscall"
)

// bind lets the server end with the process of the test, and run as another user if uid is not 0.
func bind(cmd *exec.Cmd, uid, gid uint32) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
}
