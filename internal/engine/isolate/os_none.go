//go:build !unix && !windows

package isolate

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

func isolated() *syscall.SysProcAttr { return nil }

func attach(cmd *exec.Cmd, _, _ *os.File) string {
	cmd.Err = errors.ErrUnsupported
	return ""
}

func opened(_, _ uintptr) (*os.File, *os.File, error) { return nil, nil, errors.ErrUnsupported }

func killAll(p *os.Process) { _ = p.Kill() }

func killed(*os.ProcessState) string { return "" }
