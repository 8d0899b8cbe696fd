package main

import (
	"syscall"
	"time"
)

// processCPU returns the CPU time that this process has used, in seconds.
func processCPU() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return used.Seconds(), nil
}
