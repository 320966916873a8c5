//go:build !linux

package command

import "syscall"

// ownGroup puts a program into a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// holdThread is needed only where a program's life is tied to the thread that started it.
func holdThread() (release func()) { return func() {} }
