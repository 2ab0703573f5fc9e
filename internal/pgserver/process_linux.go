package pgserver

import (
	"os/exec"
	"syscall"
)

// parentDeath tells whether the kernel can end a child with its parent.
const parentDeath = true

// endWithParent asks the kernel to stop the server fast (SIGINT) when the thread
// that starts it ends. Without a lock on that thread the Go runtime may end it at
// any time: the caller must hold it for as long as the server runs.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGINT }
