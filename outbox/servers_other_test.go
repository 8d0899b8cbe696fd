//go:build unix && !linux

package outbox_test

import (
	"os/exec"
	"syscall"
)

// bind lets the server run as another user if uid is not 0.
func bind(cmd *exec.Cmd, uid, gid uint32) {
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
}
