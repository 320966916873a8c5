package command

import (
	"runtime"
	"syscall"
)

// ownGroup puts a program into a process group of its own and has the kernel send it SIGTERM when this
// process dies, even by SIGKILL: what a killed run started must not go on beside the run that cleans up.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// holdThread keeps the calling goroutine's thread until the returned function is called. Pdeathsig
// follows the thread that started the program, not the process: https://go.dev/issue/27505.
func holdThread() (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
